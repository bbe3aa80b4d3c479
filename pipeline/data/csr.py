"""A count matrix on disk, read as blocks of cells in compressed sparse rows, whatever its own layout."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.data.cells import pointers
from pipeline.data.container import Node


@dataclass(frozen=True)
class CsrBlock:
    """Consecutive cells of a count matrix, n of them from row `start` on."""

    start: int
    indptr: npt.NDArray[np.int64]  # (n + 1,), from 0: cell i holds the entries indptr[i] to indptr[i + 1]
    indices: npt.NDArray[np.int32]  # (nonzeros,) gene of each entry, in stored order
    counts: npt.NDArray[Any]  # (nonzeros,) values as stored, explicit zeros included

    @classmethod
    def of_dense(cls, start: int, counts_NG: npt.NDArray[Any]) -> Self:
        """The cells of a matrix, (n, genes), without its zeros."""
        present_NG = counts_NG != 0
        indices = np.nonzero(present_NG)[1].astype(np.int32)
        return cls(start, pointers(present_NG.sum(axis=1)), indices, counts_NG[present_NG])

    def __len__(self) -> int:
        return len(self.indptr) - 1


class CountMatrix:
    """An open cells x genes matrix (an array, or a CSR or CSC group), read by `blocks`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._layout = _sparse_layout(node) if node.is_group else "dense"
        shape = _sparse_shape(node) if node.is_group else node.shape
        if len(shape) != 2:
            raise ExpectedError(f"{node.path}: {node.name} has {len(shape)} dimension(s), expected cells x genes")
        self.shape: tuple[int, int] = (int(shape[0]), int(shape[1]))

    @property
    def nonzeros(self) -> int | None:
        """Number of stored entries; None for a dense matrix, which has to be read to know."""
        return self._node["data"].rows if self._node.is_group else None

    @property
    def dtype(self) -> Any:
        """numpy type of the stored values."""
        return (self._node["data"] if self._node.is_group else self._node).dtype

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
        return layouts[self._layout](rows)

    def _dense_blocks(self, rows: int) -> Iterator[CsrBlock]:
        for start in range(0, self.shape[0], rows):
            yield CsrBlock.of_dense(start, self._node.read(start, start + rows))

    def _csr_blocks(self, rows: int) -> Iterator[CsrBlock]:
        pointers, indices, data = (self._node[name] for name in ("indptr", "indices", "data"))
        cells, genes = self.shape
        lengths_fit = pointers.rows == cells + 1 and indices.rows == data.rows
        if not lengths_fit or int(pointers.read(cells, cells + 1)[0]) != data.rows:
            raise self._node.damaged("its indptr, indices and data have lengths that do not fit together")
        for start in range(0, cells, rows):
            indptr = pointers.read(start, start + rows + 1).astype(np.int64)
            first, last = int(indptr[0]), int(indptr[-1])
            if first < 0 or last > data.rows or (np.diff(indptr) < 0).any():
                raise self._node.damaged(f"its row pointers decrease near cell {start}")
            genes_of_block = indices.read(first, last)
            if len(genes_of_block) and not 0 <= genes_of_block.min() <= genes_of_block.max() < genes:
                raise self._node.damaged(f"it has gene indices outside 0 to {genes - 1} near cell {start}")
            yield CsrBlock(start, indptr - first, genes_of_block.astype(np.int32, copy=False), data.read(first, last))

    def _csc_blocks(self, rows: int) -> Iterator[CsrBlock]:
        from scipy.sparse import csc_matrix  # here, since the other layouts do without it

        parts = tuple(self._node[name].read() for name in ("data", "indices", "indptr"))
        try:
            matrix = csc_matrix(parts, shape=self.shape)
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise self._node.damaged(str(error)) from error
        by_cell = matrix.tocsr()
        for start in range(0, self.shape[0], rows):
            part = by_cell[start : start + rows]
            yield CsrBlock(start, part.indptr.astype(np.int64), part.indices.astype(np.int32), part.data)


def _sparse_layout(group: Node) -> str:
    encoding = str(group.attr("encoding-type") or group.attr("h5sparse_format") or "")
    layout = encoding.removesuffix("_matrix")
    if layout not in ("csr", "csc") or not all(name in group for name in ("indptr", "indices", "data")):
        raise ExpectedError(
            f"{group.path}: {group.name} is not a matrix (encoding {encoding!r}); expected CSR, CSC or dense"
        )
    if any(len(group[name].shape) != 1 or group[name].dtype.kind not in "biuf" for name in ("indptr", "indices")):
        raise group.damaged("its indptr or indices are no list of numbers")
    return layout


def _sparse_shape(group: Node) -> list[int]:
    shape = group.attr("shape") or group.attr("h5sparse_shape")
    if not isinstance(shape, list) or not all(isinstance(length, int) and length >= 0 for length in shape):
        raise group.damaged(f"its shape is {shape!r}")
    return shape
