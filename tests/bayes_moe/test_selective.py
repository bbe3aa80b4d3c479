"""Risk against coverage, by its definition and on orders of which the area is known."""

import numpy as np
import pytest

from pipeline.bayes_moe.metrics.selective import area_under_risk, resampled_areas, risk_coverage


def by_definition(confidence_N: np.ndarray, right_N: np.ndarray) -> list[float]:
    """The share of errors among the k surest, for every k."""
    order = np.argsort(-confidence_N)
    return [float(np.mean(~right_N[order[:k]])) for k in range(1, len(order) + 1)]


def test_against_the_definition():
    random = np.random.default_rng(0)
    confidence_N, right_N = random.random(200), random.random(200) < 0.7
    coverage_N, risk_N = risk_coverage(confidence_N, right_N)
    np.testing.assert_allclose(risk_N, by_definition(confidence_N, right_N), atol=1e-12)
    np.testing.assert_allclose(coverage_N, np.arange(1, 201) / 200)
    assert area_under_risk(confidence_N, right_N) == pytest.approx(np.mean(by_definition(confidence_N, right_N)))


def test_controls():
    right_N = np.arange(1000) % 4 > 0  # a quarter is wrong
    perfect = area_under_risk(right_N.astype(float), right_N)
    assert perfect == pytest.approx(0.25 + 0.75 * np.log(0.75), abs=2e-3)  # its closed form: r + (1 − r) log(1 − r)
    assert area_under_risk(np.ones(1000), right_N) == pytest.approx(0.25)  # nothing is said
    assert area_under_risk(np.random.default_rng(0).random(1000), right_N) == pytest.approx(0.25, abs=0.03)
    assert area_under_risk(-right_N.astype(float), right_N) > 0.5  # the wrong ones first
    assert area_under_risk(np.ones(5), np.ones(5, bool)) == 0


def test_equal_confidence_does_not_depend_on_the_order():
    confidence_N, right_N = np.array([0.9, 0.9, 0.5, 0.5, 0.5]), np.array([True, False, True, False, False])
    shuffled = np.array([1, 4, 0, 3, 2])
    one, other = (area_under_risk(confidence_N[rows], right_N[rows]) for rows in (np.arange(5), shuffled))
    assert one == other


@pytest.mark.parametrize("levels", [1, 5, 1000])
def test_the_areas_of_resamples_are_those_of_the_examples_drawn(levels: int):
    """Also where examples are equally sure, as those of one number of experts are."""
    random = np.random.default_rng(levels)
    confidence_N, right_N = random.integers(0, levels, 80) / levels, random.random(80) < 0.7
    times_BN = random.multinomial(80, np.full(80, 1 / 80), size=20)
    expected = [area_under_risk(*(np.repeat(of, times_N) for of in (confidence_N, right_N))) for times_N in times_BN]
    np.testing.assert_allclose(resampled_areas(confidence_N, right_N, times_BN), expected, atol=1e-12)
    once = resampled_areas(confidence_N, right_N, np.ones((1, 80), int))
    assert once[0] == pytest.approx(area_under_risk(confidence_N, right_N))
