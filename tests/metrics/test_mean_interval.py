"""The interval of a mean: against scipy, and that it holds the truth as often as it says."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from pipeline.metrics.mean_interval import mean_interval


@pytest.mark.parametrize("count", [2, 3, 9, 200])
def test_it_is_that_of_scipy(count):
    values = np.random.default_rng(count).normal(0.3, 2, count)
    mean, low, high = mean_interval(values)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((values.mean(), expected.low, expected.high))


def test_it_holds_the_true_mean_in_nineteen_of_twenty_cases():
    drawn = np.random.default_rng(0).normal(1.5, 3, (2000, 6))
    held = [low <= 1.5 <= high for _, low, high in map(mean_interval, drawn)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)
    assert not any(low <= 100 <= high for _, low, high in map(mean_interval, drawn))


def test_a_single_value_is_sure_of_nothing_and_equal_ones_of_themselves():
    assert mean_interval([0.4]) == (0.4, -np.inf, np.inf)
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("values", [[], [0.1, np.nan], [np.inf]])
def test_what_has_no_mean_is_refused(values):
    with pytest.raises(ValueError, match="expected finite values"):
        mean_interval(values)
