"""How honest the uncertainty of predicted places is: coverage of regions, and the energy score of draws.

N: cells, S: spatial dimensions, R: draws, L: levels.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def coverage(
    true_NS: npt.NDArray[np.floating], estimate_NS: npt.NDArray[np.floating], radius_NL: npt.NDArray[np.floating]
) -> Array:
    """The share of true places within each radius of their estimate, (L,): the level, where regions are calibrated.

    All in one unit, any. ValueError where shapes differ or there is no cell.
    """
    if true_NS.shape != estimate_NS.shape or len(radius_NL) != len(true_NS) or not len(true_NS):
        raise ValueError(f"places and radii of the same cells are needed, got {true_NS.shape} and {radius_NL.shape}")
    distance_N = np.linalg.norm(np.asarray(true_NS, np.float64) - estimate_NS, axis=1)
    covered_L: Array = (distance_N[:, None] <= radius_NL).mean(axis=0)
    return covered_L


def energy_score(true_NS: npt.NDArray[np.floating], draws_RNS: npt.NDArray[np.floating]) -> float:
    """E|X − y| − E|X − X'| / 2 of each cell's draws X about its true place y, the mean over cells; lower is better.

    A proper score: draws from the distribution of the truth have the lowest on average. Of a single draw, or a point
    estimate, it is the mean distance. The second term is over pairs of different draws, so the number of draws
    does not matter on average. Unit: that of the places. Source: Gneiting and Raftery, JASA 102, 359 (2007), eq. 22,
    with the sign changed; Ferro, QJRMS 140, 1917 (2014), for the pairs. ValueError where shapes differ.
    """
    if draws_RNS.ndim != 3 or draws_RNS.shape[1:] != true_NS.shape or not draws_RNS.size:
        raise ValueError(f"draws (R, N, S) of the same cells are needed, got {draws_RNS.shape} and {true_NS.shape}")
    draws_RNS = np.asarray(draws_RNS, np.float64)
    away = float(np.linalg.norm(draws_RNS - true_NS, axis=2).mean())
    draws = len(draws_RNS)
    if draws == 1:
        return away
    apart = sum(
        float(np.linalg.norm(draws_RNS[one] - draws_RNS[other], axis=1).mean())
        for one in range(draws)
        for other in range(one)
    )
    return away - apart / (draws * (draws - 1))
