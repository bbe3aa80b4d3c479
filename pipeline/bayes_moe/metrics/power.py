"""How small a difference so many seeds can show: the power of the paired t-test over seeds.

Source: Cohen (1988), "Statistical power analysis for the behavioral sciences", chapter 2: under a true difference δ the
test statistic has a noncentral t distribution with n − 1 degrees of freedom and noncentrality δ √n / σ.
"""

import math

from scipy.optimize import brentq
from scipy.special import nctdtr, stdtrit

LEVEL, POWER = 0.05, 0.8  # chance of a difference where there is none (two-sided), and of finding one that there is
MOST_SEEDS = 10_000


def power(difference: float, deviation: float, seeds: int, level: float = LEVEL) -> float:
    """Chance that the test finds a true difference, where differences of single seeds have this standard deviation."""
    if deviation == 0:
        return 1.0 if difference else level
    critical = float(stdtrit(seeds - 1, 1 - level / 2))
    shift = abs(difference) * math.sqrt(seeds) / deviation
    if shift > critical + 30:
        return 1.0
    # On the wrong side lies less than 1e-9 of a distribution that is shifted by 5, and the function may give NaN.
    wrong_side = float(nctdtr(seeds - 1, shift, -critical)) if shift < 5 else 0.0
    return 1 - float(nctdtr(seeds - 1, shift, critical)) + wrong_side


def smallest_difference(deviation: float, seeds: int, level: float = LEVEL, wanted: float = POWER) -> float:
    """The true difference that so many seeds (two or more) find with the wanted power."""
    if deviation == 0:
        return 0.0
    unit = brentq(lambda shift: power(shift, 1.0, seeds, level) - wanted, 1e-6, 1e3)
    return float(unit) * deviation


def seeds_needed(difference: float, deviation: float, level: float = LEVEL, wanted: float = POWER) -> int | None:
    """The fewest seeds that find this difference with the wanted power; None: more than `MOST_SEEDS`."""
    low, high = 1, 2
    while power(difference, deviation, high, level) < wanted:
        low, high = high, 2 * high
        if low >= MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, deviation, middle, level) >= wanted else (middle, high)
    return high if high <= MOST_SEEDS else None
