"""Reading the parquet store: sharded counts of cells, with their covariates, one folder per split.

dataset.json              schema version, categories, sizes, shards and their sha256, what was filtered
genes.parquet             the genes, in the order of the gene indices
<split>/part-NNNNN.parquet   one row per cell; see `schema`

dataset.json and the metadata of every shard hold the identity of the store, a hash of what it was made of: a shard left
from another writing is refused. dataset.json records the kind of data; its categories name the covariates of the cells.
Where the input had spatial coordinates, a column `spatial` holds them in the frame that dataset.json describes, one for
all cells or one per section (pipeline.data.coordinates); other stores have no such column. The two list columns
`gene_index` and `count` are the indices and data of a CSR matrix and share its row pointers, so a row group is read
without a copy; any reader of parquet sees one list per cell.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json
from pipeline.data.arrow import to_numpy
from pipeline.data.cells import Cells, concatenate
from pipeline.data.doses import Doses, one_treatment_each

__all__ = ["SPLITS", "Cells", "RowGroup", "Split", "Store", "open_store"]

SCHEMA_VERSION = 1
IDENTITY = "celldag"  # in the metadata of a shard: of which store it is, see `shard_identity`
DATASET = "dataset.json"
GENES = "genes.parquet"

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def schema(covariates: Iterable[str], dimensions: int = 0) -> pa.Schema:
    """Columns of a shard, with these covariates and `dimensions` spatial coordinates per cell.

    Nothing is nullable: an absent value is refused before the store is written.
    """
    entries = pa.list_(pa.field("element", pa.int32(), nullable=False))
    label = pa.dictionary(pa.int32(), pa.string())
    columns = [
        ("cell", pa.string()),
        *((covariate, label) for covariate in covariates),
        ("library_size", pa.int64()),  # counts over the genes of the store
        ("total_counts", pa.int64()),  # counts over all genes of the input
        ("gene_index", entries),  # row of genes.parquet
        ("count", entries),
    ]
    if dimensions:
        columns.append(("spatial", pa.list_(pa.field("element", pa.float32(), nullable=False), dimensions)))
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns])


def shard_identity(store: str) -> str:
    """What a shard says of itself: the form it is written in, and the `identity` that dataset.json has as well."""
    return f"schema version {SCHEMA_VERSION}, store {store}"


@dataclass(frozen=True)
class RowGroup:
    """The unit of streaming: a run of cells in one shard."""

    file: str  # relative to the store
    index: int
    cells: int


@dataclass(frozen=True)
class Store:
    """An open store; `dataset` is the content of dataset.json."""

    folder: Path
    dataset: dict[str, Any]
    genes: list[str]
    categories: dict[str, list[str]]  # of each covariate: sorted labels, which the codes of Cells index

    @property
    def control(self) -> str:
        """Label of the unperturbed cells; a store of perturbation data has one."""
        label: str = self.dataset["control"]
        return label

    @property
    def doses(self) -> Doses:
        """Treatments and doses of each perturbation label; by default each label is a treatment of its own."""
        labels = self.categories["perturbation"]
        return Doses(self.dataset.get("doses") or one_treatment_each(labels, self.control))

    @property
    def dimensions(self) -> int:
        """Spatial dimensions of the cells' coordinates; 0 where they have none."""
        return int(self.dataset["spatial"]["dimensions"]) if "spatial" in self.dataset else 0

    def cells(self, split: Split) -> int:
        """Number of cells of a split."""
        return int(self.dataset["splits"][split]["cells"])

    def row_groups(self, split: Split) -> list[RowGroup]:
        """Every row group of a split, in order; ExpectedError where a shard is missing, damaged or of another size."""
        found = []
        for shard in self.dataset["splits"][split]["shards"]:
            footer = self._shard(shard["file"]).metadata
            if footer.num_rows != shard["cells"]:
                raise self._damaged(shard["file"], f"it holds {footer.num_rows} cells, expected {shard['cells']}")
            sizes = (footer.row_group(index).num_rows for index in range(footer.num_row_groups))
            found += [RowGroup(shard["file"], index, cells) for index, cells in enumerate(sizes)]
        return found

    def read(self, split: Split) -> Cells:
        """All cells of a split in memory, in the order of the store."""
        parts = list(self.blocks(split))
        return concatenate(parts) if parts else _no_cells(len(self.genes), list(self.categories), self.dimensions)

    def blocks(self, split: Split, named: bool = True) -> Iterator[Cells]:
        """All cells of a split in the order of the store, one row group at a time; `named` as below."""
        for row_group in self.row_groups(split):
            yield self.read_row_group(row_group, named)

    def read_row_group(self, row_group: RowGroup, named: bool = True) -> Cells:
        """The cells of one row group, in order; ExpectedError where its bytes have been damaged.

        Unless `named`, their names are empty: texts are objects of Python, and take longer than the counts.
        """
        wanted = [*self.categories, "library_size", "gene_index", "count"]
        wanted += (["cell"] if named else []) + (["spatial"] if self.dimensions else [])
        column = self._read(row_group, wanted)
        # Offsets of a freshly read row group start at zero, and both list columns share them.
        return Cells(
            genes=len(self.genes),
            names=np.array(column["cell"].to_pylist(), object) if named else np.full(row_group.cells, "", object),
            indptr=to_numpy(column["gene_index"].offsets).astype(np.int64),
            indices=to_numpy(column["gene_index"].values),
            counts=to_numpy(column["count"].values),
            library_size=to_numpy(column["library_size"]),
            covariates={name: self._codes(column[name], name, row_group.file) for name in self.categories},
            spatial=to_numpy(column["spatial"].values).reshape(-1, self.dimensions) if self.dimensions else None,
        )

    def names(self, split: Split, rows: Iterable[int]) -> list[str]:
        """Names of the cells at these rows of a split: of a store that is streamed, none is in memory."""
        row_groups = self.row_groups(split)
        ends = np.cumsum([row_group.cells for row_group in row_groups])
        wanted = [(int(np.searchsorted(ends, row, side="right")), row) for row in rows]
        column = {number: self._read(row_groups[number], ["cell"])["cell"] for number in {place for place, _ in wanted}}
        return [column[number][row - int(ends[number])].as_py() for number, row in wanted]

    def library_sizes(self, split: Split) -> npt.NDArray[np.int64]:
        """Counts of each cell of a split over the genes of the store, (N,)."""
        parts = [to_numpy(self._read(group, ["library_size"])["library_size"]) for group in self.row_groups(split)]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def _read(self, row_group: RowGroup, columns: list[str]) -> dict[str, Any]:
        """These columns of a row group, each in one piece."""
        shard = self._shard(row_group.file)
        try:
            table = shard.read_row_group(row_group.index, columns=columns, use_threads=False).combine_chunks()
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(row_group.file, str(error)) from error
        return {name: _only_chunk(table, name) for name in table.column_names}

    def _codes(self, labels: Any, covariate: str, file: str) -> npt.NDArray[np.int64]:
        # Each shard has its own dictionary of labels; translate its codes into the store's categories.
        code_of = {label: code for code, label in enumerate(self.categories[covariate])}
        unknown = sorted(set(labels.dictionary.to_pylist()) - set(code_of))
        if unknown:
            raise self._damaged(file, f"its {covariate} {unknown[0]!r} is not in {DATASET}")
        codes: npt.NDArray[np.int64] = np.array([code_of[label] for label in labels.dictionary.to_pylist()], np.int64)
        places: npt.NDArray[np.int32] = to_numpy(labels.indices)
        return codes[places]

    def _shard(self, file: str) -> pq.ParquetFile:
        path = self.folder / file
        try:
            shard = pq.ParquetFile(path, page_checksum_verification=True)
        except FileNotFoundError as error:
            raise self._damaged(file, "it is missing") from error
        except pa.ArrowException as error:
            raise self._damaged(file, str(error)) from error
        written = (shard.metadata.metadata or {}).get(IDENTITY.encode(), b"none").decode("utf-8", "replace")
        expected = shard_identity(self.dataset["identity"]) if "identity" in self.dataset else "none"
        if written != expected:
            raise self._damaged(
                file, f"it is left from another writing: its identity is {written}, expected {expected}"
            )
        if not shard.schema_arrow.equals(schema(self.categories, self.dimensions)):
            raise self._damaged(file, f"its columns are\n{shard.schema_arrow.to_string(show_schema_metadata=False)}")
        return shard

    def _damaged(self, file: str, problem: str) -> ExpectedError:
        return _broken(self.folder, f"{self.folder / file} does not belong to a whole store: {problem}")


def open_store(folder: Path, kind: str = "perturbation") -> Store:
    """Open the store of this kind of data; ExpectedError where there is none, one of another kind, or half of one.

    Shards are looked at when they are read.
    """
    path = folder / DATASET
    try:
        dataset = read_json(path)
    except FileNotFoundError as error:
        raise _broken(folder, f"no store in {folder}: {path} is missing") from error
    except ValueError as error:
        raise _broken(folder, f"{path} is damaged: {error}") from error
    version = dataset.get("schema_version") if isinstance(dataset, dict) else None
    if version != SCHEMA_VERSION:
        raise _broken(
            folder, f"the store in {folder} has schema version {version}, this program reads {SCHEMA_VERSION}"
        )
    if dataset.get("kind", kind) != kind:
        raise ExpectedError(
            f"the store in {folder} holds data of the kind {dataset['kind']!r}, expected {kind!r}: write one of that "
            f"kind with dvc repro --force {_maker(folder)}"
        )
    needed = {"categories", "splits", "genes"} | ({"control"} if kind == "perturbation" else set())
    absent = needed - set(dataset)
    if absent:
        raise _broken(folder, f"{path} is damaged: it lacks {', '.join(sorted(absent))}")
    try:
        # Not read_table, which imports pandas: 0.3 s that no training has use for.
        genes = pq.ParquetFile(folder / GENES).read(["gene"]).column("gene").to_pylist()
    except (pa.ArrowException, FileNotFoundError) as error:
        raise _broken(folder, f"{folder / GENES} cannot be read: {error}") from error
    if len(genes) != dataset["genes"]:
        raise _broken(folder, f"{folder / GENES} holds {len(genes)} genes, expected {dataset['genes']}")
    return Store(folder, dataset, genes, dataset["categories"])


def _broken(folder: Path, problem: str) -> ExpectedError:
    return ExpectedError(f"{problem}; write the store again with: dvc repro --force {_maker(folder)}")


def _maker(folder: Path) -> str:
    """The stage that writes this store; of a folder outside the DAG, those that write any."""
    *_, system, study, fold = ("", "", *folder.parts)
    return f"preprocess@{system}-{study}-{fold}" if folder.parts[-5:-3] == ("data", "processed") else "preprocess"


def _only_chunk(table: pa.Table, name: str) -> Any:
    chunks = table.column(name).chunks
    return chunks[0] if chunks else pa.array([], table.schema.field(name).type)


def _no_cells(genes: int, covariates: list[str], dimensions: int) -> Cells:
    entries, whole = np.zeros(0, np.int32), np.zeros(0, np.int64)
    codes = dict.fromkeys(covariates, whole)
    places = np.zeros((0, dimensions), np.float32) if dimensions else None
    return Cells(genes, np.zeros(0, object), np.zeros(1, np.int64), entries, entries, codes, whole, places)
