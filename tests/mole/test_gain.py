"""The gain over a simpler forecaster: planted ones are found, chance is not taken for one."""

import math

import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from pipeline.mole.metrics.gain import gain, preferred

STRETCHES = ("January", "March", "May", "July")
RIDGE = dict(zip(STRETCHES, (0.5, 2.0, 1.0, 4.0), strict=True))


def times(*factors):
    return {name: RIDGE[name] * factor for name, factor in zip(STRETCHES, factors, strict=True)}


def test_it_is_that_of_the_paired_t_test_of_logarithms():
    ours = times(0.9, 0.95, 0.92, 0.99)
    found = gain(ours, RIDGE)
    logs = [np.log([of[name] for name in STRETCHES]) for of in (RIDGE, ours)]
    assert found.mean / found.error == pytest.approx(ttest_rel(*logs).statistic)
    assert found.share == pytest.approx(1 - (0.9 * 0.95 * 0.92 * 0.99) ** 0.25)


@pytest.mark.parametrize("seed", range(20))
def test_a_planted_gain_is_chosen_however_hard_the_stretches_are(seed):
    rng = np.random.default_rng(seed)
    hard = np.exp(rng.normal(size=4))
    ridge = dict(zip(STRETCHES, hard, strict=True))
    better = dict(zip(STRETCHES, hard * 0.9 * np.exp(0.01 * rng.normal(size=4)), strict=True))
    assert preferred({"ridge": ridge, "mixture": better}) == "mixture"
    worse = dict(zip(STRETCHES, hard * 1.1 * np.exp(0.01 * rng.normal(size=4)), strict=True))
    assert preferred({"ridge": ridge, "mixture": worse}) == "ridge"  # the negative control


def test_chance_is_seldom_taken_for_a_gain():
    """Of differences by chance alone the lowest loss takes the mixture half of the time, the rule as often as Student's
    t of 3 degrees of freedom exceeds 1."""
    rng = np.random.default_rng(0)
    draws = [dict(zip(STRETCHES, np.exp(0.05 * rng.normal(size=4)), strict=True)) for _ in range(2000)]
    ridge = dict.fromkeys(STRETCHES, 1.0)
    lowest = np.mean([gain(one, ridge).share > 0 for one in draws])
    chosen = np.mean([preferred({"ridge": ridge, "mixture": one}) == "mixture" for one in draws])
    assert lowest == pytest.approx(0.5, abs=0.03)
    assert chosen == pytest.approx(t.sf(1, 3), abs=0.03)


@pytest.mark.parametrize("lucky", [0.99, 0.9, 0.1])
def test_one_lucky_stretch_is_no_gain_however_lucky(lucky):
    found = gain(times(lucky, 1, 1, 1), RIDGE)
    assert found.mean == pytest.approx(found.error)
    assert preferred({"ridge": RIDGE, "mixture": times(lucky, 1, 1, 1)}) == "ridge"
    assert preferred({"ridge": RIDGE, "mixture": times(lucky, lucky, 1, 1)}) == "mixture"


def test_a_tie_goes_to_the_first():
    assert preferred({"ridge": RIDGE, "mixture": dict(RIDGE)}) == "ridge"
    rounded = times(*[1 - 1e-6] * 4)  # a network that stayed at its start, in 32-bit numbers
    assert preferred({"ridge": RIDGE, "mixture": rounded}) == "ridge"
    better = times(0.9, 0.9, 0.9, 0.9)
    assert preferred({"ridge": RIDGE, "channel_ridge": better, "mixture": dict(better)}) == "channel_ridge"
    assert preferred({"ridge": RIDGE, "channel_ridge": better, "mixture": times(*[0.8] * 4)}) == "mixture"


def test_a_single_stretch_tells_no_gain_from_chance():
    assert gain({"July": 0.1}, {"July": 1.0}).error == math.inf
    assert preferred({"ridge": {"July": 1.0}, "mixture": {"July": 0.1}}) == "ridge"


def test_losses_of_0_are_compared():
    assert gain(times(0, 0, 0, 0), RIDGE).clear
    assert not gain(times(0, 0, 0, 0), times(0, 0, 0, 0)).clear
