"""Distances between two populations of cells: energy distance and maximum mean discrepancy.

N, M: cells of the first and second population; D: dimensions; R: bootstrap resamples (see
`metrics.bootstrap`). Both estimators are unbiased U-statistics: pairs of a cell with itself are excluded, so
two samples of one population score 0 on average and values can be slightly negative. Distances are computed in blocks,
so memory grows with N or M, not with their product.

`times_RN` and `times_RM` count how often each cell is drawn in each resample; without them there is one row, the
original cells. In means over pairs, a pair of cells is weighted by the product of these counts. A cell drawn twice is
not paired with its copy, since that is a pair of a cell with itself.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

Array = npt.NDArray[np.float64]

BLOCK = 1024  # rows and columns of one block of pairwise distances
KERNEL_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # kernel widths, in units of the bandwidth


def e_distance(x_ND: Array, y_MD: Array, times_RN: Array | None = None, times_RM: Array | None = None) -> Array:
    """Energy distance, 2 E|X − Y| − E|X − X'| − E|Y − Y'|, with Euclidean |.| and without the diagonal, (R,).

    This is the squared energy distance of Székely and Rizzo (2013, J. Stat. Plan. Inference 143, eq. 5), estimated by
    U-statistics: E|X − X'| is the mean over the N (N − 1) pairs of different cells. It is 0 in expectation only for
    equal distributions. scPerturb (Peidli et al. 2024, Nat. Methods) has the same form on *squared* distances, which
    reduces to twice the squared difference of means: its values are not comparable with these.

    Unit: that of the coordinates. NaN in rows where no cell is drawn, or a single one every time. ValueError if either
    population has fewer than two cells.
    """
    return _energy(x_ND, y_MD, times_RN, times_RM, _identity)


def mmd(
    x_ND: Array, y_MD: Array, bandwidth: float, times_RN: Array | None = None, times_RM: Array | None = None
) -> Array:
    """Squared maximum mean discrepancy, E k(X, X') + E k(Y, Y') − 2 E k(X, Y), unbiased (no diagonal), (R,).

    k averages Gaussian kernels exp(−d² / (2 (s · bandwidth)²)) over the five scales s of `KERNEL_SCALES`, so that
    0 <= k <= 1. Estimator: Gretton et al. (2012, JMLR 13), MMD²_u, eq. 3, for any N and M.

    bandwidth: in units of the coordinates, the same for all methods compared (see `median_distance`).
    ValueError if either population has fewer than two cells or the bandwidth is not positive.
    """
    if not bandwidth > 0:
        raise ValueError(f"the bandwidth must be positive, got {bandwidth}")
    widths = np.array(KERNEL_SCALES) * bandwidth

    def kernel(distance: Array) -> Array:
        squared = distance**2
        total = np.zeros_like(squared)
        for width in widths:
            total += np.exp(-squared / (2 * width**2))
        return total / len(widths)

    return -_energy(x_ND, y_MD, times_RN, times_RM, kernel)


def median_distance(x_ND: Array, most: int = 1000) -> float:
    """Median of the non-zero distances between different cells: the bandwidth of the "median heuristic".

    Uses at most `most` evenly spaced rows. 1 if all cells coincide.
    """
    rows = np.unique(np.linspace(0, len(x_ND) - 1, min(len(x_ND), most)).astype(np.int64))
    chosen = x_ND[rows]
    distances = cdist(chosen, chosen)[np.triu_indices(len(chosen), 1)]
    distances = distances[distances > 0]
    return float(np.median(distances)) if len(distances) else 1.0


def _identity(distance: Array) -> Array:
    return distance


def _energy(
    x_ND: Array, y_MD: Array, times_RN: Array | None, times_RM: Array | None, function: Callable[[Array], Array]
) -> Array:
    """2 E f(X, Y) − E f(X, X') − E f(Y, Y') for a function f of distance."""
    if min(len(x_ND), len(y_MD)) < 2:
        raise ValueError(f"each population needs at least two cells, got {len(x_ND)} and {len(y_MD)}")
    times_RN = np.ones((1, len(x_ND))) if times_RN is None else times_RN
    times_RM = np.ones((1, len(y_MD))) if times_RM is None else times_RM
    pairs_R = times_RN.sum(axis=1) * times_RM.sum(axis=1)
    between_R = _mean(_sum(x_ND, y_MD, times_RN, times_RM, function), pairs_R)
    energy_R: Array = 2 * between_R - _mean_within(x_ND, times_RN, function) - _mean_within(y_MD, times_RM, function)
    return energy_R


def _blocks(cells: int) -> Iterator[slice]:
    for start in range(0, cells, BLOCK):
        yield slice(start, start + BLOCK)


def _sum(x_ND: Array, y_MD: Array, times_RN: Array, times_RM: Array, function: Callable[[Array], Array]) -> Array:
    """Sum of times · times · function(distance) over all pairs, (R,)."""
    total_R = np.zeros(len(times_RN))
    for rows in _blocks(len(x_ND)):
        for columns in _blocks(len(y_MD)):
            block_NM = function(cdist(x_ND[rows], y_MD[columns]))
            total_R += np.einsum("rm,rm->r", times_RN[:, rows] @ block_NM, times_RM[:, columns])
    return total_R


def _mean_within(x_ND: Array, times_RN: Array, function: Callable[[Array], Array]) -> Array:
    """Mean of function(distance) over pairs of different cells; the distance of a cell to itself is exactly 0."""
    itself_R = np.sum(times_RN**2, axis=1)
    total_R = _sum(x_ND, x_ND, times_RN, times_RN, function) - itself_R * float(function(np.zeros(1))[0])
    pairs_R = times_RN.sum(axis=1) ** 2 - itself_R
    return _mean(total_R, pairs_R)


def _mean(total_R: Array, pairs_R: Array) -> Array:
    """NaN where there is no pair: no cell, or a single one, was drawn."""
    mean_R: Array = np.divide(total_R, pairs_R, out=np.full(len(pairs_R), np.nan), where=pairs_R > 0)
    return mean_R
