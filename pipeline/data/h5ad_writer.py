"""Writing AnnData on disk (.h5ad) block by block: matrices grow by cells, and no more than a block is in memory."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

ENTRIES_PER_CHUNK = 262_144  # of an HDF5 chunk: 1 MiB of int32
NAMES_PER_CHUNK = 8_192


class DiskStream(io.FileIO):
    """A file that delays its first write error until HDF5 has closed.

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
        while content:  # a call may write less than asked, such as when the disk fills up
            content = content[super().write(content) or 0 :]

    def raise_fault(self) -> None:
        """Raise the first write error, if there was one."""
        if self.fault is not None:
            raise self.fault


@contextmanager
def h5ad_file(path: Path) -> Iterator[tuple[Any, DiskStream]]:
    """A new AnnData at `path`, with nothing in it yet; OSError where a write fails."""
    with DiskStream(path, "w+b") as stream:
        try:
            with h5py.File(stream, "w") as file:
                file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
                yield file, stream
        finally:
            stream.raise_fault()


class CsrWriter:
    """A cells x genes matrix in compressed sparse rows under construction, at `name` of an open file."""

    def __init__(self, file: Any, name: str) -> None:
        self._group = file.create_group(name)
        self._cells = 0
        for part, kind in (("indptr", np.int64), ("indices", np.int32), ("data", np.int32)):
            self._group.create_dataset(part, (0,), kind, maxshape=(None,), chunks=(ENTRIES_PER_CHUNK,))
        extend(self._group["indptr"], np.zeros(1, np.int64))

    def append(
        self, indptr: npt.NDArray[np.integer], indices: npt.NDArray[np.int32], counts: npt.NDArray[np.int32]
    ) -> None:
        """Add n cells: indptr (n + 1,) from 0, indices and counts (nonzeros,), genes ascending inside each cell."""
        stored = len(self._group["data"])
        extend(self._group["indptr"], indptr[1:] + stored)
        extend(self._group["indices"], indices)
        extend(self._group["data"], counts)
        self._cells += len(indptr) - 1

    def finish(self, genes: int) -> None:
        """Record the shape."""
        self._group.attrs["shape"] = np.array([self._cells, genes])
        self._group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})


def dense_array(file: Any, name: str, columns: int) -> Any:
    """An empty float32 array (0, columns) to `extend` by rows."""
    rows = max(1, ENTRIES_PER_CHUNK // max(columns, 1))
    dataset = file.create_dataset(name, (0, columns), np.float32, maxshape=(None, columns), chunks=(rows, columns))
    dataset.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return dataset


def string_array(group: Any, name: str) -> Any:
    """An empty array of texts (0,) to `extend`."""
    kind = h5py.string_dtype()
    dataset = group.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(NAMES_PER_CHUNK,))
    dataset.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    return dataset


def table(file: Any, name: str, columns: tuple[str, ...]) -> Any:
    """A data frame of these columns, without any of them yet; its index is to be called _index."""
    group = file.create_group(name)
    group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
    group.attrs.create("column-order", list(columns), dtype=h5py.string_dtype(), shape=(len(columns),))
    return group


def mappings(file: Any, *names: str) -> None:
    """Empty mappings, such as obsm and uns."""
    for name in names:
        file.create_group(name).attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})


def extend(dataset: Any, values: Any) -> None:
    """Add values at the end of a dataset."""
    stored = len(dataset)
    dataset.resize(stored + len(values), axis=0)
    if len(values):
        dataset[stored:] = values
