"""Distances between two populations of cells: energy distance and maximum mean discrepancy.

N, M: cells of the first and second population; D: dimensions. Both estimators are unbiased U-statistics: the pairs of
a cell with itself are left out, so two samples of one population score 0 on average and a value may be slightly
negative. Distances are computed a block of rows at a time, so memory grows with N or M, never with their product.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

Array = npt.NDArray[np.float64]

BLOCK = 1024  # rows of one block of pairwise distances
KERNEL_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # kernel widths, in units of the bandwidth


def e_distance(x_ND: Array, y_MD: Array) -> float:
    """Energy distance, 2 E|X − Y| − E|X − X'| − E|Y − Y'|, with plain Euclidean |.| and the diagonal left out.

    This is the squared energy distance of Székely and Rizzo (2013, J. Stat. Plan. Inference 143, eq. 5), estimated by
    U-statistics: E|X − X'| is the mean over the N (N − 1) pairs of different cells. It is 0 in expectation only for
    equal distributions. scPerturb (Peidli et al. 2024, Nat. Methods) has the same form on *squared* distances, which
    collapses to twice the squared difference of means: its values do not compare with these.

    Unit: that of the coordinates. ValueError if either population has fewer than two cells.
    """
    _check(x_ND, y_MD)
    between = _sum(x_ND, y_MD, _identity) / (len(x_ND) * len(y_MD))
    return 2 * between - _mean_within(x_ND, _identity) - _mean_within(y_MD, _identity)


def mmd(x_ND: Array, y_MD: Array, bandwidth: float) -> float:
    """Squared maximum mean discrepancy, E k(X, X') + E k(Y, Y') − 2 E k(X, Y), unbiased (no diagonal).

    k averages Gaussian kernels exp(−d² / (2 (s · bandwidth)²)) over the five scales s of `KERNEL_SCALES`, so that
    0 <= k <= 1. Estimator: Gretton et al. (2012, JMLR 13), MMD²_u, eq. 3, for any N and M.

    bandwidth: in units of the coordinates, the same for all methods compared (see `median_distance`).
    ValueError if either population has fewer than two cells or the bandwidth is not positive.
    """
    _check(x_ND, y_MD)
    if not bandwidth > 0:
        raise ValueError(f"the bandwidth must be positive, got {bandwidth}")
    widths = np.array(KERNEL_SCALES) * bandwidth

    def kernel(distance: Array) -> Array:
        squared = distance**2
        total = np.zeros_like(squared)
        for width in widths:
            total += np.exp(-squared / (2 * width**2))
        return total / len(widths)

    between = _sum(x_ND, y_MD, kernel) / (len(x_ND) * len(y_MD))
    return _mean_within(x_ND, kernel) + _mean_within(y_MD, kernel) - 2 * between


def median_distance(x_ND: Array, most: int = 1000) -> float:
    """Median of the non-zero distances between different cells: the bandwidth of the "median heuristic".

    Of more than `most` cells, `most` evenly spaced rows are used. 1 where all cells coincide.
    """
    rows = np.unique(np.linspace(0, len(x_ND) - 1, min(len(x_ND), most)).astype(np.int64))
    chosen = x_ND[rows]
    distances = cdist(chosen, chosen)[np.triu_indices(len(chosen), 1)]
    distances = distances[distances > 0]
    return float(np.median(distances)) if len(distances) else 1.0


def _identity(distance: Array) -> Array:
    return distance


def _blocks(x_ND: Array) -> Iterator[Array]:
    for start in range(0, len(x_ND), BLOCK):
        yield x_ND[start : start + BLOCK]


def _sum(x_ND: Array, y_MD: Array, function: Callable[[Array], Array]) -> float:
    """Sum of function(distance) over all pairs."""
    return sum(float(function(cdist(x, y)).sum()) for x in _blocks(x_ND) for y in _blocks(y_MD))


def _mean_within(x_ND: Array, function: Callable[[Array], Array]) -> float:
    """Mean of function(distance) over pairs of different cells; each cell is at distance 0 of itself, exactly."""
    n = len(x_ND)
    diagonal = n * float(function(np.zeros(1))[0])
    return (_sum(x_ND, x_ND, function) - diagonal) / (n * (n - 1))


def _check(x_ND: Array, y_MD: Array) -> None:
    if min(len(x_ND), len(y_MD)) < 2:
        raise ValueError(f"each population needs at least two cells, got {len(x_ND)} and {len(y_MD)}")
