"""The bootstrap over cells: how far a score moves when other cells of the same populations are drawn.

R: rows, the first the population itself and each further one a resample of it; B: cells; G: genes. Cells are drawn with
replacement, as many as there are, which is written as how often each cell is drawn: no cell is copied, and whatever
compares two cells is computed once. Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
"""

import numpy as np
import numpy.typing as npt

from pipeline.data.groups import Moments

Array = npt.NDArray[np.float64]

LEVEL = 0.95


def draws(cells: int, replicates: int, random: np.random.Generator) -> Array:
    """How often each cell is drawn, (1 + replicates, cells): once in the first row, in `cells` draws in the others."""
    drawn_RB = random.multinomial(cells, np.full(cells, 1 / cells), size=replicates)
    return np.concatenate([np.ones((1, cells)), drawn_RB])


def resampled_moments(moments: Moments, sample_BG: npt.NDArray[np.float32], times_RB: Array) -> Moments:
    """Moments with a leading axis of rows, (R, G): the first row is `moments`, the others those of resamples.

    sample_BG: all cells that `moments` are of, or a random sample of them; a resampled mean then moves by as much as
    that of a resample of all of them would: by sqrt(B / cells) times what the sample's mean moves by.
    """
    if len(times_RB) == 1:
        return Moments(moments.cells, moments.mean_G[None], moments.squares_G[None])
    cells = len(sample_BG)
    sample_BG = sample_BG.astype(np.float64)
    sample_RG, square_RG = times_RB @ sample_BG / cells, times_RB @ sample_BG**2 / cells
    mean_RG = moments.mean_G + np.sqrt(cells / moments.cells) * (sample_RG - sample_RG[0])
    variance_RG = np.maximum(square_RG - sample_RG**2, 0) * cells / max(cells - 1, 1)
    squares_RG = variance_RG * (moments.cells - 1) + moments.cells * mean_RG**2
    squares_RG[0] = moments.squares_G
    return Moments(moments.cells, mean_RG, squares_RG)


def percentile_interval(values_R: Array, bounds: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float, float] | None:
    """The interval that holds 95 % of resamples, put around the score, which is the first value.

    It is from the 2.5th to the 97.5th percentile of the other values' deviations from their median, added to the score
    and kept within `bounds`, the range of the metric. Their median is not the score: a resample has the noise of
    drawing cells twice over, its own and the sample's, which makes errors over many genes larger and correlations
    smaller. So the interval is about the score on as many other cells of the same populations, noise included.
    Resamples for which the score is not defined (NaN) are left out; None where none is left, or the score is NaN.
    """
    score, resampled = values_R[0], values_R[1:][~np.isnan(values_R[1:])]
    if np.isnan(score) or not len(resampled):
        return None
    tails = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.clip(score + tails - np.median(resampled), *bounds)
    return float(min(low, score)), float(max(high, score))  # which rounding alone can have left outside
