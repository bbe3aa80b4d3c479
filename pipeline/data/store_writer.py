"""Writing the parquet store that pipeline.data.store reads, cell by cell in whole row groups.

Kept apart from the reader, so that a change here does not make the trainings stale. A store is written in parts, each
by one process into a folder of its own, which are then joined; `StoreWriter` writes one of a single part.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.data.arrow import numbers, strings
from pipeline.data.cells import Cells
from pipeline.data.store import DATASET, GENES, IDENTITY, SCHEMA_VERSION, SPLITS, Split, schema, shard_identity

LARGEST_OFFSET = 2**31 - 1  # Arrow's lists count the entries of a row group in 32 bits

# Delta encoding suits the ascending gene indices, a dictionary the few distinct counts (and the covariates, of each
# store its own): measured against the alternatives in benchmarks/README.md, and understood by every reader of parquet.
FORMAT: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "column_encoding": {"gene_index.list.element": "DELTA_BINARY_PACKED"},
    "write_statistics": False,
    "write_page_checksum": True,
}


class Layout(NamedTuple):
    """What all shards of a store have in common."""

    categories: Mapping[str, list[str]]  # labels of each covariate of the cells
    cells_per_shard: int
    dimensions: int = 0  # of the cells' spatial coordinates; 0 where they have none
    identity: str = ""  # of what is written, for dataset.json and every shard: shards of another store are refused


class Shard(NamedTuple):
    """A finished shard."""

    file: str  # relative to the folder it was written into
    cells: int
    nonzeros: int
    sha256: str


Shards = dict[Split, list[Shard]]


@dataclass
class _OpenSplit:
    writer: pq.ParquetWriter | None = None
    cells: int = 0  # in the open shard
    nonzeros: int = 0
    shards: list[Shard] = field(default_factory=list)


class ShardWriter:
    """Writes shards into an empty folder. Every `append` is one row group; a shard is closed once it holds
    `cells_per_shard`. The bytes written depend on what is appended and on nothing else.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._folder = folder
        self._layout = layout
        self._labels = {name: strings(labels) for name, labels in layout.categories.items()}
        self._splits = {split: _OpenSplit() for split in SPLITS}
        self._schema = schema(layout.categories, layout.dimensions)
        for split in SPLITS:
            (folder / split).mkdir(parents=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for split in self._splits.values():
            if split.writer is not None:
                split.writer.close()

    def append(self, split: Split, cells: Cells, total_counts: npt.NDArray[np.int64]) -> None:
        """Write these cells as the next row group of a split; `total_counts` (N,) is over all genes of the input."""
        if cells.indptr[-1] > LARGEST_OFFSET:
            raise ExpectedError(
                f"a row group of {len(cells)} cells holds {cells.indptr[-1]} counts, more than parquet lists can "
                f"address ({LARGEST_OFFSET}): lower cells_per_row_group in params.yaml"
            )
        open_ = self._splits[split]
        if open_.writer is None:
            path = self._folder / _shard_file(split, len(open_.shards))
            dictionaries = [*self._labels, "count.list.element"]
            open_.writer = pq.ParquetWriter(path, self._schema, use_dictionary=dictionaries, **FORMAT)
            open_.writer.add_key_value_metadata({IDENTITY: shard_identity(self._layout.identity)})
        open_.writer.write_batch(self._batch(cells, total_counts), row_group_size=max(1, len(cells)))
        open_.cells += len(cells)
        open_.nonzeros += int(cells.indptr[-1])
        if open_.cells >= self._layout.cells_per_shard:
            self._close_shard(split)

    def finish(self) -> Shards:
        """Close the last shards; what was written, in order."""
        for split in SPLITS:
            self._close_shard(split)
        return {split: open_.shards for split, open_ in self._splits.items()}

    def _close_shard(self, name: Split) -> None:
        split = self._splits[name]
        if split.writer is None:
            return
        split.writer.close()
        file = _shard_file(name, len(split.shards))
        split.shards.append(Shard(file, split.cells, split.nonzeros, sha256(self._folder / file)))
        split.writer, split.cells, split.nonzeros = None, 0, 0

    def _batch(self, cells: Cells, total_counts: npt.NDArray[np.int64]) -> pa.RecordBatch:
        offsets = numbers(cells.indptr.astype(np.int32))
        entries = self._schema.field("count").type
        codes = {name: numbers(cells.covariates[name].astype(np.int32)) for name in self._labels}
        columns = {
            "cell": strings(cells.names),
            **{name: pa.DictionaryArray.from_arrays(codes[name], labels) for name, labels in self._labels.items()},
            "library_size": numbers(cells.library_size),
            "total_counts": numbers(total_counts),
            "gene_index": pa.ListArray.from_arrays(offsets, numbers(cells.indices), type=entries),
            "count": pa.ListArray.from_arrays(offsets, numbers(cells.counts), type=entries),
        }
        if cells.spatial is not None:
            kind = self._schema.field("spatial").type
            columns["spatial"] = pa.FixedSizeListArray.from_arrays(numbers(cells.spatial.ravel()), type=kind)
        return pa.RecordBatch.from_arrays([columns[name] for name in self._schema.names], schema=self._schema)


def finish_store(
    folder: Path,
    parts: Sequence[tuple[Path, Shards]],
    layout: Layout,
    genes: Sequence[str],
    gene_columns: Mapping[str, npt.NDArray[Any]],
    description: Mapping[str, Any],
) -> dict[str, Any]:
    """Join the shards of all parts, in their order, into a store; returns what dataset.json holds.

    parts: folders inside `folder`, which go, and what was written there. genes.parquet has `gene` and these columns,
    each (G,). description: what dataset.json holds beside sizes, categories and shards.
    """
    splits = {}
    for split in SPLITS:
        (folder / split).mkdir(exist_ok=True)
        moved: list[Shard] = []
        for part, shards in parts:
            for shard in shards[split]:
                file = _shard_file(split, len(moved))
                (part / shard.file).rename(folder / file)
                moved.append(shard._replace(file=file))
        splits[split] = {
            "cells": sum(shard.cells for shard in moved),
            "nonzeros": sum(shard.nonzeros for shard in moved),
            "shards": [{"file": shard.file, "cells": shard.cells, "sha256": shard.sha256} for shard in moved],
        }
    for part, _ in parts:
        for split in SPLITS:
            (part / split).rmdir()
        part.rmdir()
    columns = {"gene": strings(genes), **{name: numbers(values) for name, values in gene_columns.items()}}
    pq.write_table(pa.Table.from_arrays(list(columns.values()), list(columns)), folder / GENES, compression="zstd")
    dataset = {
        "schema_version": SCHEMA_VERSION,
        "identity": layout.identity,
        **description,
        "genes": len(genes),
        "categories": {name: list(labels) for name, labels in layout.categories.items()},
        "splits": splits,
    }
    (folder / DATASET).write_text(json.dumps(dataset, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return dataset


class StoreWriter:
    """Writes a whole store into an empty folder (wrap it in `atomic_folder`), in one process; see `ShardWriter`."""

    def __init__(
        self,
        folder: Path,
        genes: Sequence[str],
        categories: Mapping[str, list[str]],
        cells_per_shard: int,
        dimensions: int = 0,
    ) -> None:
        self._folder, self._part, self._genes = folder, folder / "part", genes
        self._layout = Layout(categories, cells_per_shard, dimensions)
        self._shards = ShardWriter(self._part, self._layout)
        self.append = self._shards.append

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shards.__exit__(kind, error, trace)

    def finish(self, gene_columns: Mapping[str, npt.NDArray[Any]], description: Mapping[str, Any]) -> dict[str, Any]:
        """Close the store; see `finish_store`."""
        parts = [(self._part, self._shards.finish())]
        return finish_store(self._folder, parts, self._layout, self._genes, gene_columns, description)


def _shard_file(split: Split, number: int) -> str:
    return f"{split}/part-{number:05d}.parquet"
