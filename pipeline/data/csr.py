"""A count matrix on disk, read as blocks of cells in compressed sparse rows, whatever its own layout."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.errors import ExpectedError


@dataclass(frozen=True)
class CsrBlock:
    """Consecutive cells of a count matrix, n of them from row `start` on."""

    start: int
    indptr: npt.NDArray[np.int64]  # (n + 1,), from 0: cell i holds the entries indptr[i] to indptr[i + 1]
    indices: npt.NDArray[np.int32]  # (nonzeros,) gene of each entry, in stored order
    counts: npt.NDArray[Any]  # (nonzeros,) values as stored, explicit zeros included

    def __len__(self) -> int:
        return len(self.indptr) - 1


class CountMatrix:
    """An open cells x genes matrix (an HDF5 dataset, or a CSR or CSC group), read by `blocks`."""

    def __init__(self, node: Any, path: Path) -> None:
        self._node = node
        self._path = path
        self._layout = "dense" if isinstance(node, h5py.Dataset) else _sparse_layout(node, path)
        shape = node.shape if self._layout == "dense" else _sparse_shape(node)
        if len(shape) != 2:
            raise ExpectedError(f"{path}: {node.name} has {len(shape)} dimension(s), expected cells x genes")
        self.shape: tuple[int, int] = (int(shape[0]), int(shape[1]))

    @property
    def nonzeros(self) -> int | None:
        """Number of stored entries; None for a dense matrix, where only reading tells."""
        return None if self._layout == "dense" else int(self._node["data"].shape[0])

    @property
    def dtype(self) -> Any:
        """numpy type of the stored values."""
        return (self._node if self._layout == "dense" else self._node["data"]).dtype

    @property
    def kind(self) -> str:
        """numpy's letter for it: b, i, u and f are numbers."""
        return str(self.dtype.kind)

    def blocks(self, rows: int) -> Iterator[CsrBlock]:
        """All cells in order, `rows` at a time (the last block may be shorter).

        Memory is that of one block; a CSC matrix is loaded whole, since its cells are scattered over the file.
        Raises ExpectedError where the matrix contradicts itself or the file is damaged.
        """
        layouts = {"dense": self._dense_blocks, "csr": self._csr_blocks, "csc": self._csc_blocks}
        with reading(self._path):
            yield from layouts[self._layout](rows)

    def _dense_blocks(self, rows: int) -> Iterator[CsrBlock]:
        for start in range(0, self.shape[0], rows):
            dense_NG = self._node[start : start + rows]
            present_NG = dense_NG != 0
            indptr = np.zeros(len(dense_NG) + 1, np.int64)
            np.cumsum(present_NG.sum(axis=1), out=indptr[1:])
            yield CsrBlock(start, indptr, np.nonzero(present_NG)[1].astype(np.int32), dense_NG[present_NG])

    def _csr_blocks(self, rows: int) -> Iterator[CsrBlock]:
        pointers, indices, data = (self._node[name] for name in ("indptr", "indices", "data"))
        cells, genes = self.shape
        if len(pointers) != cells + 1 or len(indices) != len(data) or int(pointers[-1]) != len(data):
            raise self._contradiction("its indptr, indices and data have lengths that do not fit together")
        for start in range(0, cells, rows):
            indptr = pointers[start : start + rows + 1].astype(np.int64)
            first, last = int(indptr[0]), int(indptr[-1])
            if first < 0 or last > len(data) or (np.diff(indptr) < 0).any():
                raise self._contradiction(f"its row pointers decrease near cell {start}")
            genes_of_block = indices[first:last]
            if len(genes_of_block) and not 0 <= genes_of_block.min() <= genes_of_block.max() < genes:
                raise self._contradiction(f"it has gene indices outside 0 to {genes - 1} near cell {start}")
            yield CsrBlock(start, indptr - first, genes_of_block.astype(np.int32, copy=False), data[first:last])

    def _csc_blocks(self, rows: int) -> Iterator[CsrBlock]:
        from scipy.sparse import csc_matrix  # here, since the other layouts do without it

        parts = tuple(self._node[name][:] for name in ("data", "indices", "indptr"))
        try:
            matrix = csc_matrix(parts, shape=self.shape)
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise self._contradiction(str(error)) from error
        by_cell = matrix.tocsr()
        for start in range(0, self.shape[0], rows):
            part = by_cell[start : start + rows]
            yield CsrBlock(start, part.indptr.astype(np.int64), part.indices.astype(np.int32), part.data)

    def _contradiction(self, detail: str) -> ExpectedError:
        return ExpectedError(f"{self._path}: {self._node.name} is damaged: {detail}; fetch or write the file again")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn HDF5's complaints about a file's content into an ExpectedError; wrap reads in it, never writes."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        detail = str(error)
        if "file signature not found" in detail:
            raise ExpectedError(f"{path} is not an HDF5 file: expected an AnnData on disk (.h5ad)") from error
        if "truncated" in detail:
            raise ExpectedError(f"{path} is truncated, a copy that broke off: fetch or write it again") from error
        raise ExpectedError(f"{path} is damaged, HDF5 cannot read it ({detail}): fetch or write it again") from error


def _sparse_layout(group: Any, path: Path) -> str:
    encoding = str(group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", "")))
    layout = encoding.removesuffix("_matrix")
    if layout not in ("csr", "csc") or not {"indptr", "indices", "data"} <= set(group):
        raise ExpectedError(f"{path}: {group.name} is not a matrix (encoding {encoding!r}); expected CSR, CSC or dense")
    return layout


def _sparse_shape(group: Any) -> Any:
    return group.attrs["shape"] if "shape" in group.attrs else group.attrs["h5sparse_shape"]
