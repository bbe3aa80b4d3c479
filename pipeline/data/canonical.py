"""Writing the canonical AnnData: what ingest hands on, block by block, and nothing that depends on the source's layout.

X is CSR of int32 counts, uncompressed (a cache that is read at memory speed; DVC and the parquet store compress), genes
ascending inside a cell and no explicit zeros; obs holds the cells' names and categorical covariates, var the genes'
names. Where there are spatial coordinates, obsm/spatial holds them, and where labels stand for doses or combinations,
uns/doses says for which, as JSON (a label may hold any character, a key of HDF5 may not). anndata.read_h5ad reads it
like any other file.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.data.coordinates import Coordinates
from pipeline.data.h5ad import Column

ENTRIES_PER_CHUNK = 262_144  # of an HDF5 chunk: 1 MiB of int32
NAMES_PER_CHUNK = 8_192


class DiskStream(io.FileIO):
    """A file that holds its first write error back, for HDF5 to be closed in peace before it is raised.

    HDF5 2.0 crashes (segmentation fault) when a file is closed after a write has failed, as on a full disk.
    """

    fault: OSError | None = None

    def write(self, content: Any, /) -> int:
        size = memoryview(content).nbytes
        if self.fault is None:
            try:
                self._write_all(memoryview(content).cast("B"))
            except OSError as error:
                error.filename = self.name
                self.fault = error
        return size

    def _write_all(self, content: memoryview) -> None:
        while content:  # one call may write less than asked, such as the last bytes of a disk
            content = content[super().write(content) or 0 :]

    def raise_fault(self) -> None:
        """Raise the first write error, if there was one."""
        if self.fault is not None:
            raise self.fault


class CanonicalWriter:
    """A canonical file under construction; made by `canonical_file`."""

    def __init__(self, file: Any, stream: DiskStream, genes: list[str]) -> None:
        self._file = file
        self._stream = stream
        self._genes = len(genes)
        self._cells = 0
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        self._counts = file.create_group("X")
        for name, kind in (("indptr", np.int64), ("indices", np.int32), ("data", np.int32)):
            self._counts.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(ENTRIES_PER_CHUNK,))
        _append(self._counts["indptr"], np.zeros(1, np.int64))
        _table(file, "var", ())
        _append(_strings(file["var"], "_index"), genes)
        for mapping in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            file.create_group(mapping).attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})

    def append(
        self, indptr: npt.NDArray[np.int64], indices: npt.NDArray[np.int32], counts: npt.NDArray[np.int32]
    ) -> None:
        """Add n cells: indptr (n + 1,) from 0, indices and counts (nonzeros,), genes ascending inside each cell."""
        stored = len(self._counts["data"])
        _append(self._counts["indptr"], indptr[1:] + stored)
        _append(self._counts["indices"], indices)
        _append(self._counts["data"], counts)
        self._cells += len(indptr) - 1
        self._stream.raise_fault()

    def finish(
        self,
        names: Iterable[list[str]],
        columns: Mapping[str, Column],
        doses: Mapping[str, Mapping[str, float]] | None = None,
        spatial: Coordinates | None = None,
    ) -> None:
        """Add the cells' names, in blocks, and their covariates, each without a missing value.

        doses: {perturbation label: {treatment: dose}}; spatial: coordinates (N, S).
        """
        self._counts.attrs["shape"] = np.array([self._cells, self._genes])
        self._counts.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        table = _table(self._file, "obs", tuple(columns))
        index = _strings(table, "_index")
        for block in names:
            _append(index, block)
            self._stream.raise_fault()
        for name, column in columns.items():
            group = table.create_group(name)
            group.attrs.update({"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False})
            codes = column.codes.astype(np.int8 if len(column.labels) < 128 else np.int32)
            group.create_dataset("codes", data=codes).attrs.update(
                {"encoding-type": "array", "encoding-version": "0.2.0"}
            )
            _append(_strings(group, "categories"), column.labels)
        if doses is not None:
            text = self._file["uns"].create_dataset("doses", data=json.dumps(doses), dtype=h5py.string_dtype())
            text.attrs.update({"encoding-type": "string", "encoding-version": "0.2.0"})
        if spatial is not None:
            self._file["obsm"].create_dataset("spatial", data=spatial).attrs.update(
                {"encoding-type": "array", "encoding-version": "0.2.0"}
            )
        self._stream.raise_fault()


@contextmanager
def canonical_file(path: Path, genes: list[str]) -> Iterator[CanonicalWriter]:
    """Write a canonical AnnData at `path` with these gene names; an OSError where the disk refuses."""
    with DiskStream(path, "w+b") as stream:
        try:
            with h5py.File(stream, "w") as file:
                yield CanonicalWriter(file, stream, genes)
        finally:
            stream.raise_fault()


def _append(dataset: Any, values: Any) -> None:
    stored = len(dataset)
    dataset.resize((stored + len(values),))
    if len(values):
        dataset[stored:] = values


def _strings(group: Any, name: str) -> Any:
    kind = h5py.string_dtype()
    dataset = group.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(NAMES_PER_CHUNK,))
    dataset.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    return dataset


def _table(file: Any, name: str, columns: tuple[str, ...]) -> Any:
    group = file.create_group(name)
    group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
    group.attrs.create("column-order", list(columns), dtype=h5py.string_dtype(), shape=(len(columns),))
    return group
