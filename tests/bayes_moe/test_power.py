"""The power of a paired comparison over seeds, against simulation and the normal limit."""

import math

import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp

from pipeline.bayes_moe.metrics.crossed import crossed
from pipeline.bayes_moe.metrics.power import LEVEL, POWER, power, seeds_needed, smallest_difference


@pytest.mark.parametrize(("difference", "seeds"), [(0.5, 5), (1.0, 10), (2.0, 4), (0.2, 30)])
def test_power_is_how_often_the_test_finds_the_difference(difference: float, seeds: int):
    samples = np.random.default_rng(0).normal(difference, 1.0, (20_000, seeds))
    found = (ttest_1samp(samples, 0.0, axis=1).pvalue < LEVEL).mean()
    assert power(difference, 1.0, seeds) == pytest.approx(found, abs=0.012)


def test_without_a_difference_the_power_is_the_level():
    assert power(0.0, 1.0, 5) == pytest.approx(LEVEL, abs=1e-6)
    assert power(0.0, 0.0, 5) == LEVEL
    assert power(0.1, 0.0, 5) == 1.0
    assert power(1e6, 1.0, 3) == 1.0


def test_with_many_seeds_it_is_the_normal_formula():
    expected = (norm.ppf(1 - LEVEL / 2) + norm.ppf(POWER)) / math.sqrt(2000)
    assert smallest_difference(1.0, 2000) == pytest.approx(expected, rel=2e-3)
    assert seeds_needed(expected, 1.0) == pytest.approx(2000, abs=5)


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_the_smallest_difference_needs_just_these_seeds(seeds: int):
    difference = smallest_difference(0.3, seeds)
    assert power(difference, 0.3, seeds) == pytest.approx(POWER, abs=1e-6)
    assert seeds_needed(1.0001 * difference, 0.3) == seeds
    assert seeds_needed(0.5 * difference, 0.3) > seeds  # the control


def test_no_number_of_seeds_finds_nothing():
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-6, 1.0) is None
    assert smallest_difference(0.0, 3) == 0.0


@pytest.mark.parametrize(("difference", "seeds"), [(0.25, 5), (0.4, 5), (0.3, 20)])
def test_power_is_how_often_the_interval_of_the_verdict_excludes_zero(difference: float, seeds: int):
    """The interval and the figure of power speak of one quantity: other seeds, and other images."""
    of_seed, of_image, of_both, images = 0.15, 1.0, 1.0, 120
    random = np.random.default_rng(seeds)
    found = []
    for _ in range(1500):
        x_RN = difference + of_seed * random.standard_normal((seeds, 1)) + of_image * random.standard_normal(images)
        of = crossed(x_RN + of_both * random.standard_normal((seeds, images)))
        found.append(abs(of.value) > of.half)
    deviation, floor = math.hypot(of_seed, of_both / math.sqrt(images)), of_image / math.sqrt(images)
    assert power(difference, deviation, seeds, floor) == pytest.approx(np.mean(found), abs=0.05)


def test_what_images_hide_no_number_of_seeds_shows():
    assert seeds_needed(0.2, 0.1, floor=0.1) is None
    assert seeds_needed(0.2, 0.1, floor=0.01) < 20
    assert smallest_difference(0.1, 1000, floor=0.1) == pytest.approx(2.80 * 0.1, rel=0.03)
