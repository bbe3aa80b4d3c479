"""Bootstrap over cells: sampling uncertainty of scores.

R: rows, the first the original cells and each further one a resample; B: cells; G: genes. Cells are drawn with
replacement. A resample is stored as the number of times each cell is drawn: no cell is copied, and pairwise distances
are computed once. Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
"""

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.data.groups import Moments

Array = npt.NDArray[np.float64]

LEVEL = 0.95


def draws(cells: int, replicates: int, random: np.random.Generator) -> Array:
    """Number of times each cell is drawn, (1 + replicates, cells): once in the first row, `cells` draws in the
    others."""
    drawn_RB = random.multinomial(cells, np.full(cells, 1 / cells), size=replicates)
    return np.concatenate([np.ones((1, cells)), drawn_RB])


def resampled_moments(moments: Moments, sample_BG: npt.NDArray[np.float32], times_RB: Array) -> Moments:
    """Moments with a leading axis of rows, (R, G): the first row is `moments`, the others those of resamples.

    sample_BG: all cells behind `moments`, or a random sample of them; deviations of the resampled mean are then scaled
    by sqrt(B / cells), to match a resample of all cells.
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
    """The 95 % bootstrap interval around the score, which is the first value.

    The 2.5th and 97.5th percentiles of the deviations of the other values from their median, added to the score and
    clipped to `bounds`, the range of the metric. Resamples carry both sampling and resampling noise, which inflates
    errors over many genes and lowers correlations, so we recentre on the observed score. Undefined resamples (NaN) are
    left out; None if none is left, or the score is NaN.
    """
    score, resampled = values_R[0], values_R[1:][~np.isnan(values_R[1:])]
    if np.isnan(score) or not len(resampled):
        return None
    tails = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.clip(score + tails - np.median(resampled), *bounds)
    return float(min(low, score)), float(max(high, score))  # rounding alone can put the score outside
