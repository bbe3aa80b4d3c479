"""The mean of a few differences, and how sure it is."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and the bounds of its 95 % interval by Student's t: mean ± t(0.975; n − 1) · s / sqrt(n).

    s is the standard deviation over n − 1. It holds for independent values of about normal distribution; values that
    share something (a section, a seed) are surer of their mean than they should be. With a single value there is
    nothing to tell its spread by: the bounds are then infinite. ValueError without a value, or with one not finite.
    Source: Student (1908, Biometrika 6, 1).
    """
    found = np.asarray(values, np.float64)
    if not len(found) or not np.isfinite(found).all():
        raise ValueError(f"finite values are needed, got {found.tolist()}")
    mean = float(found.mean())
    if len(found) == 1:
        return mean, -np.inf, np.inf
    half = float(stdtrit(len(found) - 1, (1 + LEVEL) / 2) * found.std(ddof=1) / np.sqrt(len(found)))
    return mean, mean - half, mean + half
