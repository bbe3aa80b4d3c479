"""Highly variable genes by the variance of clipped, standardised counts ("seurat_v3"), in two passes over the cells.

Stuart et al. 2019 (Cell 177:1888), as scanpy.pp.highly_variable_genes(flavor="seurat_v3") computes it: a loess curve
predicts each gene's variance from its mean, counts are standardised by it, clipped at sqrt(N), and genes are ranked by
the variance of the result. Axes: N cells, G genes. All sums are float64 and exact up to 2^53.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.data.csr import CsrBlock
from pipeline.data.quality import entries_of

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Entries = npt.NDArray[np.int32]

SPAN = 0.3  # share of the genes in each local fit, scanpy's default
SURELY_EXACT = 2**19  # counts whose squares sum to less than 2^53 in any block
FEWEST_GENES = 20  # skmisc's loess crashes the process below 4 points and cannot fit below 14


class GeneSums:
    """First pass: cells in which each gene is detected, sum of its counts and of their squares; each (G,)."""

    def __init__(self, genes: int) -> None:
        self.cells = 0
        self.detected_G: Whole = np.zeros(genes, np.int64)
        self.sum_G: Floats = np.zeros(genes)
        self.squares_G: Floats = np.zeros(genes)

    def add(self, cells: int, indices: Entries, counts: Entries, sign: int = 1) -> None:
        """Add these cells, or with sign -1 take them out again: the gene and count of each entry, (nonzeros,), without
        explicit zeros."""
        genes = len(self.sum_G)
        self.cells += sign * cells
        detected_G = sign * np.bincount(indices, minlength=genes)
        self.detected_G += detected_G
        # Most counts are 1: count the entries, and add what the others exceed 1 by.
        above = np.flatnonzero(counts > 1)
        exact, genes_above = counts[above].astype(np.float64), indices[above].astype(np.intp)
        self.sum_G += detected_G + sign * np.bincount(genes_above, exact - 1, genes)
        self.squares_G += detected_G + sign * np.bincount(genes_above, exact**2 - 1, genes)

    def add_block(self, block: CsrBlock, cells: npt.NDArray[np.bool_]) -> None:
        """Add the chosen cells of a block, (N,)."""
        number = int(cells.sum())
        if 2 * number < len(block) or block.counts.max(initial=0) > SURELY_EXACT:
            self.add(number, *entries_of(block, cells))
        else:  # all but the others, who have fewer entries to copy; exact, so nothing of them remains
            chosen = GeneSums(len(self.sum_G))
            chosen.add(len(block), block.indices, block.counts)
            chosen.add(len(block) - number, *entries_of(block, ~cells), sign=-1)
            self.merge(chosen)

    def merge(self, other: "GeneSums") -> None:
        """Add the cells of another one."""
        self.cells += other.cells
        self.detected_G += other.detected_G
        self.sum_G += other.sum_G
        self.squares_G += other.squares_G

    @property
    def mean_G(self) -> Floats:
        """Mean count per gene, (G,)."""
        return self.sum_G / max(self.cells, 1)

    @property
    def variance_G(self) -> Floats:
        """Unbiased variance per gene, (G,); 0 for fewer than two cells."""
        if self.cells < 2:
            return np.zeros_like(self.sum_G)
        # N * sum of squares - sum^2 is exact in whole numbers where it fits, so a constant gene gets exactly 0.
        spread_G = self.cells * self.squares_G - self.sum_G**2
        return np.maximum(spread_G, 0) / self.cells / (self.cells - 1)


def expected_deviation(mean_G: Floats, variance_G: Floats, section: str) -> Floats:
    """Standard deviation that the genes' common curve expects at each gene's mean, (G,); 1 for constant genes.

    The curve is a loess of degree 2 of log10 variance on log10 mean. section: of params.yaml with the thresholds, for
    messages. ExpectedError where the curve cannot be fitted.
    """
    from skmisc.loess import loess  # 0.1 s that only the fit needs

    varies_G = variance_G > 0
    varying = int(varies_G.sum())
    if varying < FEWEST_GENES:
        raise ExpectedError(_no_fit(section, varying, f"at least {FEWEST_GENES} genes that vary are needed"))
    model = loess(np.log10(mean_G[varies_G]), np.log10(variance_G[varies_G]), span=SPAN, degree=2)
    try:
        model.fit()
    except ValueError as error:
        raise ExpectedError(_no_fit(section, varying, f"loess: {error}")) from error
    deviation_G = np.ones_like(mean_G)
    deviation_G[varies_G] = np.sqrt(10**model.outputs.fitted_values)
    return deviation_G


def _no_fit(section: str, genes: int, reason: str) -> str:
    return (
        f"highly variable genes cannot be ranked: no curve of variance on mean fits the {genes} genes that vary "
        f"({reason}). In params.yaml, raise {section}.min_cells_per_gene (rarely detected genes all have the "
        "same few means), or set highly_variable_genes to at least the number of genes to keep them all"
    )


class ClippedSums:
    """Second pass: how much clipping at mean + sqrt(N) expected deviations reduces the sums of the first pass."""

    def __init__(self, sums: GeneSums, deviation_G: Floats) -> None:
        self._sums = sums
        self._deviation_G = deviation_G
        self._limit_G = sums.mean_G + deviation_G * np.sqrt(sums.cells)
        # Counts are integers, so they exceed the limit where they exceed its floor.
        self._whole_limit_G = np.minimum(np.floor(self._limit_G), np.iinfo(np.int32).max).astype(np.int32)
        self._least_limit = int(self._whole_limit_G.min(initial=np.iinfo(np.int32).max))
        self._excess_G = np.zeros_like(deviation_G)
        self._excess_squares_G = np.zeros_like(deviation_G)

    def add(self, block: CsrBlock, cells: npt.NDArray[np.bool_]) -> None:
        """Add the chosen cells of a block, (N,), which the first pass has seen, in any order or division."""
        # Few counts exceed even the least limit, so the pass costs one comparison per entry.
        above = np.flatnonzero(block.counts > self._least_limit)
        above = above[block.counts[above] > self._whole_limit_G[block.indices[above]]]
        above = above[cells[np.searchsorted(block.indptr, above, side="right") - 1]]
        genes, count = block.indices[above], block.counts[above].astype(np.float64)
        limit = self._limit_G[genes]
        self._excess_G += np.bincount(genes, count - limit, len(self._limit_G))
        self._excess_squares_G += np.bincount(genes, count**2 - limit**2, len(self._limit_G))

    def merge(self, other: "ClippedSums") -> None:
        """Add the cells of another one of the same first pass; the order shows in the last digit."""
        self._excess_G += other._excess_G
        self._excess_squares_G += other._excess_squares_G

    @property
    def standardised_variance_G(self) -> Floats:
        """Variance of (clipped count - mean) / expected deviation around 0, (G,); NaN for fewer than two cells."""
        cells, mean_G = self._sums.cells, self._sums.mean_G
        if cells < 2:
            return np.full_like(mean_G, np.nan)
        sum_G = self._sums.sum_G - self._excess_G
        squares_G = self._sums.squares_G - self._excess_squares_G
        spread_G = cells * mean_G**2 + squares_G - 2 * mean_G * sum_G
        return spread_G / ((cells - 1) * self._deviation_G**2)


@dataclass(frozen=True)
class GeneStatistics:
    """The columns of genes.parquet beside the names, each (G,)."""

    mean_G: Floats
    variance_G: Floats
    variance_standardised_G: Floats

    def select(self, genes: Whole) -> "GeneStatistics":
        """The statistics of some genes, in the order asked for."""
        return GeneStatistics(self.mean_G[genes], self.variance_G[genes], self.variance_standardised_G[genes])


def most_variable(variance_standardised_G: Floats, genes: int) -> Whole:
    """Indices, ascending, of this many genes of largest standardised variance; ties go to the earlier gene."""
    order = np.argsort(-variance_standardised_G, kind="stable")
    return np.sort(order[:genes])
