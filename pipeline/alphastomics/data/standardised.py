"""The scale of expression for models of tissue: their input, and that of their error.

log(1 + counts / library size · target), less each gene's mean over the training cells and divided by its standard
deviation there. The logarithm stabilises the variance of counts; the division gives genes equal weight in a squared
error. G: genes, B: cells.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pipeline.data.cells import Cells, Rows
from pipeline.data.expression import log_normalise, median_library_size

_BLOCK = 16_384  # cells made dense at once
_LEAST_DEVIATION = 1e-3  # so that the noise of a nearly constant gene is not scaled to unit variance

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Standard:
    """Counts to standardised expression and back."""

    target: float  # counts that every cell is scaled to: the median library size of the training cells
    mean_G: Floats
    deviation_G: Floats

    @classmethod
    def of(cls, parts: list[Cells]) -> Self:
        """From the training cells; memory does not grow with their number. ValueError where no cell has a count."""
        target = median_library_size(np.concatenate([cells.library_size for cells in parts]))
        genes = parts[0].genes
        total_G, square_G, number = np.zeros(genes), np.zeros(genes), 0
        for cells in parts:
            for start in range(0, len(cells), _BLOCK):
                rows = slice(start, start + _BLOCK)
                x_BG = log_normalise(cells.dense(rows), cells.library_size[rows], target).astype(np.float64)
                total_G += x_BG.sum(0)
                square_G += np.square(x_BG).sum(0)
                number += len(x_BG)
        mean_G = total_G / number
        deviation_G = np.sqrt(np.maximum(square_G / number - mean_G**2, 0))
        return cls(target, mean_G.astype(np.float32), np.maximum(deviation_G, _LEAST_DEVIATION).astype(np.float32))

    @classmethod
    def from_description(cls, described: dict[str, Any]) -> Self:
        """The inverse of `described`."""
        mean_G, deviation_G = (np.array(described[name], np.float32) for name in ("mean", "deviation"))
        return cls(float(described["target"]), mean_G, deviation_G)

    def described(self) -> dict[str, Any]:
        """As plain JSON, for a model's configuration."""
        return {"target": self.target, "mean": self.mean_G.tolist(), "deviation": self.deviation_G.tolist()}

    def of_counts(self, counts_BG: npt.NDArray[np.number], library_size_B: npt.NDArray[np.number]) -> Floats:
        """Standardised expression of cells, (B, G)."""
        standardised_BG: Floats = self.of_expression(log_normalise(counts_BG, library_size_B, self.target))
        return standardised_BG

    def of_partial_counts(
        self, counts_BG: npt.NDArray[np.number], library_size_B: npt.NDArray[np.number], found_G: npt.NDArray[np.bool_]
    ) -> Floats:
        """Of cells in which only the genes `found` were looked for, over which `library_size` is: the other genes, and
        all genes of a cell without a count, are at their training mean, 0.

        Counts are scaled to the target's part that the found genes have in a cell of mean expression.
        """
        mean_G = np.expm1(self.mean_G.astype(np.float64))
        library_B = library_size_B * (mean_G.sum() / max(mean_G[found_G].sum(), np.finfo(np.float64).tiny))
        standardised_BG = self.of_counts(counts_BG, library_B)
        standardised_BG[:, ~found_G] = 0
        standardised_BG[library_size_B == 0] = 0
        return standardised_BG

    def of_expression(self, expression_BG: Floats) -> Floats:
        """Standardised from log-normalised, (B, G)."""
        standardised_BG: Floats = (expression_BG - self.mean_G) / self.deviation_G
        return standardised_BG

    def log_normalised(self, standardised_BG: Floats) -> Floats:
        """Back to log-normalised expression, (B, G); not below 0, which no count is."""
        expression_BG: Floats = np.maximum(standardised_BG * self.deviation_G + self.mean_G, 0)
        return expression_BG


def expression_of(
    cells: Cells, rows: Rows, standard: Standard, thinned: tuple[float, np.random.Generator] | None = None
) -> Floats:
    """Standardised expression of the chosen cells, (B, G); thinned: see `SampledNeighbourhoods`, and what draws it."""
    counts_BG, library_size_B = cells.dense(rows), cells.library_size[rows]
    if thinned is not None:
        most, rng = thinned
        kept_B1 = 1 - most * rng.random((len(counts_BG), 1))
        counts_BG = rng.binomial(counts_BG.astype(np.int64), kept_B1).astype(np.float32)
        library_size_B = counts_BG.sum(1)
    return standard.of_counts(counts_BG, library_size_B)
