"""Wasserstein-1 distance between two populations of cells, gene by gene.

N, M: cells of the first and second population; G: genes; R: bootstrap resamples (see `metrics.bootstrap`).
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def wasserstein(
    x_NG: npt.NDArray[np.floating],
    y_MG: npt.NDArray[np.floating],
    times_RN: Array | None = None,
    times_RM: Array | None = None,
) -> Array:
    """Wasserstein-1 distance of each gene's two distributions over cells, ∫ |F(v) − G(v)| dv, (R, G).

    F and G are the cumulative distributions of the gene's values in the two populations, where a cell is weighted by
    how often it is drawn (without `times`: one row, each cell once). For populations of equal size this is the mean
    |difference| of sorted values. It is the one-dimensional optimal-transport cost, in the unit of the values. Source:
    Ramdas, García Trillos and Cuturi (2017, Entropy 19, eq. 5 and 6). ValueError if either population is empty.
    """
    if min(len(x_NG), len(y_MG)) < 1:
        raise ValueError(f"each population needs at least one cell, got {len(x_NG)} and {len(y_MG)}")
    times_RN = np.ones((1, len(x_NG))) if times_RN is None else times_RN
    times_RM = np.ones((1, len(y_MG))) if times_RM is None else times_RM
    share_NR, share_MR = (times.T / times.sum(axis=1) for times in (times_RN, times_RM))
    share_TR = np.concatenate([share_NR, -share_MR])
    values_GT = np.ascontiguousarray(np.concatenate([x_NG, y_MG]).T, dtype=np.float64)
    found_GR = np.zeros((len(values_GT), len(times_RN)))
    for gene, values_T in enumerate(values_GT):
        # Summed from the top, F − G needs only the cells above the smallest value, and most cells are at zero.
        smallest = values_T.min()
        above = np.flatnonzero(values_T > smallest)
        if not len(above):
            continue
        above = above[np.argsort(-values_T[above], kind="stable")]
        gap = -np.diff(values_T[above], append=smallest)
        difference_AR = share_TR[above]
        np.cumsum(difference_AR, axis=0, out=difference_AR)
        found_GR[gene] = gap @ np.abs(difference_AR, out=difference_AR)
    return found_GR.T
