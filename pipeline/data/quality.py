"""Filters of cells and genes by their counts, and histograms before and after.

Cells are filtered first, each by itself; genes afterwards, over the kept cells only. Axes: N cells of a block, G genes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.csr import CsrBlock

Mask = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.int64]

# Twenty bins per decade, with integer edges, so that every bin of small counts can hold an integer.
EDGES: Whole = np.unique(np.ceil(10 ** (np.arange(0, 181) / 20))).astype(np.int64)


def counts_per_cell(block: CsrBlock) -> Whole:
    """Sum of counts of each cell, (N,)."""
    counts_N = np.zeros(len(block), np.int64)
    filled = np.flatnonzero(np.diff(block.indptr))  # reduceat cannot represent an empty cell
    if len(filled):
        counts_N[filled] = np.add.reduceat(block.counts, block.indptr[filled], dtype=np.int64)
    return counts_N


def entries_of(block: CsrBlock, cells: Mask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Genes and counts of the entries that belong to the chosen cells, each (nonzeros,)."""
    # Copying runs of adjacent cells is several times faster than selecting entry by entry.
    borders = np.flatnonzero(np.diff(cells, prepend=False, append=False))
    bounds = block.indptr[borders].tolist()
    runs = [slice(start, stop) for start, stop in zip(bounds[::2], bounds[1::2], strict=True)] or [slice(0)]
    if len(runs) == 1:
        return block.indices[runs[0]], block.counts[runs[0]]
    return np.concatenate([block.indices[run] for run in runs]), np.concatenate([block.counts[run] for run in runs])


class Histogram:
    """Histogram of an integer per cell, in logarithmic bins, accumulated block by block."""

    def __init__(self) -> None:
        self._before: Whole = np.zeros(len(EDGES) - 1, np.int64)
        self._after: Whole = np.zeros(len(EDGES) - 1, np.int64)

    def add(self, values: Whole, kept: Mask) -> None:
        """Add cells, (N,); zeros are left out, since the axis is logarithmic."""
        seen = values > 0
        bins = np.searchsorted(EDGES[1:-1], values, side="right")  # the last bin has no upper edge
        self._before += np.bincount(bins[seen], minlength=len(self._before))
        self._after += np.bincount(bins[seen & kept], minlength=len(self._after))

    def merge(self, other: "Histogram") -> None:
        """Add the cells of another one."""
        self._before += other._before
        self._after += other._after

    def report(self) -> dict[str, list[int]]:
        """`edges` (bins + 1,), `before` and `after` (bins,), without the empty bins at both ends."""
        filled = np.flatnonzero(self._before)
        first, last = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, 1)
        return {
            "edges": EDGES[first : last + 1].tolist(),
            "before": self._before[first:last].tolist(),
            "after": self._after[first:last].tolist(),
        }


@dataclass
class CellFilter:
    """Keeps cells with enough counts and enough detected genes; remembers the histograms of both."""

    min_counts: int
    min_genes: int

    def __post_init__(self) -> None:
        self.empty = 0  # cells without any count
        self._counts = Histogram()
        self._genes = Histogram()

    def keep(self, block: CsrBlock) -> Mask:
        """Which cells of a block pass, (N,)."""
        counts_N, genes_N = counts_per_cell(block), np.diff(block.indptr)
        kept_N: Mask = (counts_N >= self.min_counts) & (genes_N >= self.min_genes)
        self._counts.add(counts_N, kept_N)
        self._genes.add(genes_N, kept_N)
        self.empty += int((counts_N == 0).sum())
        return kept_N

    def merge(self, other: "CellFilter") -> None:
        """Add what another filter has seen."""
        self.empty += other.empty
        self._counts.merge(other._counts)
        self._genes.merge(other._genes)

    def histograms(self) -> dict[str, Any]:
        """Histograms before and after filtering, for the report."""
        return {"counts_per_cell": self._counts.report(), "genes_per_cell": self._genes.report()}
