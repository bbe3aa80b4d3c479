"""How small a difference so many seeds can show: the power of the test that a difference's interval is (`crossed`).

Source: Cohen (1988), "Statistical power analysis for the behavioral sciences", chapter 2: under a true difference δ the
test statistic has a noncentral t distribution, of noncentrality δ over its standard error. Of a paired t-test over n
seeds that is σ / √n, with n − 1 degrees of freedom. Here the images are a sample too: they add to the variance of the
difference what no number of seeds takes away, and Satterthwaite's (1946) degrees of freedom are those of the sum.
"""

import math

from scipy.optimize import brentq
from scipy.special import nctdtr, ndtr, ndtri, stdtrit

LEVEL, POWER = 0.05, 0.8  # chance of a difference where there is none (two-sided), and of finding one that there is
MOST_SEEDS = 10_000
_NORMAL = 1e5  # degrees of freedom, from which on a t distribution is taken for a normal one


def power(difference: float, deviation: float, seeds: int, floor: float = 0.0) -> float:
    """Chance that the test finds a true difference, where differences of single seeds have this standard deviation and
    that of all seeds together, over images, is `floor`."""
    of_seeds = deviation**2 / seeds
    variance = of_seeds + floor**2
    if variance == 0:
        return 1.0 if difference else LEVEL
    shift = abs(difference) / math.sqrt(variance)
    freedom = (seeds - 1) * (variance / of_seeds) ** 2 if of_seeds else math.inf
    if freedom > _NORMAL:
        critical = float(ndtri(1 - LEVEL / 2))
        return float(ndtr(shift - critical) + ndtr(-shift - critical))
    critical = float(stdtrit(freedom, 1 - LEVEL / 2))
    if shift > critical + 30:
        return 1.0
    # On the wrong side lies less than 1e-9 of a distribution that is shifted by 5, and the function may give NaN.
    wrong_side = float(nctdtr(freedom, shift, -critical)) if shift < 5 else 0.0
    return 1 - float(nctdtr(freedom, shift, critical)) + wrong_side


def smallest_difference(deviation: float, seeds: int, floor: float = 0.0) -> float:
    """The true difference that so many seeds (two or more) find with the wanted power."""
    scale = math.hypot(deviation, floor)
    if scale == 0:
        return 0.0
    unit = brentq(lambda shift: power(shift, deviation / scale, seeds, floor / scale) - POWER, 1e-6, 1e3)
    return float(unit) * scale


def seeds_needed(difference: float, deviation: float, floor: float = 0.0) -> int | None:
    """The fewest seeds that find this difference with the wanted power; None: more than `MOST_SEEDS`, or none do."""
    low, high = 1, 2
    while power(difference, deviation, high, floor) < POWER:
        low, high = high, 2 * high
        if low >= MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, deviation, middle, floor) >= POWER else (middle, high)
    return high if high <= MOST_SEEDS else None
