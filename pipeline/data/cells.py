"""Cells in memory: sparse counts with their covariates, as plain arrays.

Axes: N cells, G genes, S spatial dimensions, and B rows asked for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[Any] | slice
Places = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Counts of N cells in CSR (cell i: `indices[indptr[i]:indptr[i + 1]]`) and one entry per cell of the rest.

    The covariates are codes into the sorted categories of the store that the cells come from.
    """

    genes: int
    names: npt.NDArray[np.object_]  # (N,) str
    indptr: npt.NDArray[np.int64]  # (N + 1,), starts at 0
    indices: npt.NDArray[np.int32]  # (nonzeros,) gene, in [0, genes)
    counts: npt.NDArray[np.int32]  # (nonzeros,)
    covariates: dict[str, Codes]  # each (N,); which there are depends on the kind of data
    library_size: npt.NDArray[np.int64]  # (N,) counts over the genes held here
    spatial: Places | None = None  # (N, S) in the store's frame (pipeline.data.coordinates); None where there are none

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def perturbation(self) -> Codes:
        """The treatment of each cell, (N,)."""
        return self.covariates["perturbation"]

    @property
    def cell_type(self) -> Codes:
        """The type of each cell, (N,)."""
        return self.covariates["cell_type"]

    @property
    def batch(self) -> Codes:
        """The technical origin of each cell, (N,)."""
        return self.covariates["batch"]

    def relabelled(self, **codes: Codes) -> Self:
        """The same cells with other codes, each (N,), of these covariates."""
        return replace(self, covariates={**self.covariates, **codes})

    def dense(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Counts of the chosen cells, (B, G), in the order asked for."""
        lengths_B, entries = self._entries(rows)
        x_BG = np.zeros((len(lengths_B), self.genes), np.float32)
        places = np.repeat(np.arange(len(lengths_B), dtype=np.int64) * self.genes, lengths_B)
        places += self.indices[entries]
        x_BG.reshape(-1)[places] = self.counts[entries]
        return x_BG

    def select(self, rows: Rows) -> Self:
        """The chosen cells, in the order asked for."""
        lengths_B, entries = self._entries(rows)
        return type(self)(
            genes=self.genes,
            names=self.names[rows],
            indptr=pointers(lengths_B),
            indices=self.indices[entries],
            counts=self.counts[entries],
            covariates={name: codes[rows] for name, codes in self.covariates.items()},
            library_size=self.library_size[rows],
            spatial=None if self.spatial is None else self.spatial[rows],
        )

    def _entries(self, rows: Rows) -> tuple[npt.NDArray[np.int64], Rows]:
        """Entries per chosen cell, (B,), and where they are: a slice where the cells are consecutive (no copy)."""
        if isinstance(rows, slice) and rows.step in (None, 1):
            start, stop, _ = rows.indices(len(self))
            bounds = self.indptr[start : max(start, stop) + 1]
            return np.diff(bounds), slice(int(bounds[0]), int(bounds[-1]))
        starts_B = self.indptr[:-1][rows]
        lengths_B = self.indptr[1:][rows] - starts_B
        return lengths_B, ranges(starts_B, lengths_B)


def pointers(lengths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """CSR row pointers, (N + 1,), of rows with these numbers of entries, (N,)."""
    indptr = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    return indptr


def ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """start, start + 1, ... start + length - 1 of every pair in turn, concatenated."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total, dtype=np.int64)


def concatenate(parts: list[Cells]) -> Cells:
    """All cells of one or more parts, in order; ValueError where some parts have spatial coordinates and some not."""
    if len(parts) == 1:
        return parts[0]
    return Cells(
        genes=parts[0].genes,
        names=np.concatenate([part.names for part in parts]),
        indptr=pointers(np.concatenate([np.diff(part.indptr) for part in parts])),
        indices=np.concatenate([part.indices for part in parts]),
        counts=np.concatenate([part.counts for part in parts]),
        covariates={name: np.concatenate([part.covariates[name] for part in parts]) for name in parts[0].covariates},
        library_size=np.concatenate([part.library_size for part in parts]),
        spatial=_all_places([part.spatial for part in parts]),
    )


def regrouped(parts: Iterable[Cells], size: int) -> Iterator[Cells]:
    """The same cells in order, `size` at a time; only the last block may be smaller."""
    rest: list[Cells] = []
    for part in parts:
        cells = concatenate([*rest, part])
        whole = len(cells) // size * size
        for start in range(0, whole, size):
            yield cells.select(slice(start, start + size))
        rest = [cells.select(slice(whole, None))]
    yield from (cells for cells in rest if len(cells))


def _all_places(parts: list[Places | None]) -> Places | None:
    known = [part for part in parts if part is not None]
    if known and len(known) < len(parts):
        raise ValueError("cells with and without spatial coordinates cannot be joined")
    return np.concatenate(known) if known else None
