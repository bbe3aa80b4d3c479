"""Mean and confidence interval of a few differences."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and the bounds of its 95 % interval by Student's t: mean ± t(0.975; n − 1) · s / sqrt(n).

    s is the standard deviation over n − 1. Valid for independent, roughly normal values; for dependent ones (same
    section, same seed) it is too narrow. With a single value the bounds are infinite. ValueError for no value, or one
    that is not finite. Source: Student (1908, Biometrika 6, 1).
    """
    found = np.asarray(values, np.float64)
    if not len(found) or not np.isfinite(found).all():
        raise ValueError(f"expected finite values, got {found.tolist()}")
    mean = float(found.mean())
    if len(found) == 1:
        return mean, -np.inf, np.inf
    half = float(stdtrit(len(found) - 1, (1 + LEVEL) / 2) * found.std(ddof=1) / np.sqrt(len(found)))
    return mean, mean - half, mean + half
