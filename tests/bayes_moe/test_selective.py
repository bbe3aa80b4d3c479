"""Risk against coverage, by its definition and on orders of which the area is known."""

import numpy as np
import pytest

from pipeline.bayes_moe.metrics.selective import area_contributions, area_under_risk, risk_coverage


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
def test_contributions_are_the_influence_of_each_example_on_the_area(levels: int):
    """Their mean is the area, and they are the jackknife's, also where examples are equally sure."""
    random = np.random.default_rng(levels)
    confidence_N, right_N = random.integers(0, levels, 400) / levels, random.random(400) < 0.7
    found_N = area_contributions(confidence_N, right_N)
    area = area_under_risk(confidence_N, right_N)
    assert found_N.mean() == pytest.approx(area)
    without_N = [area_under_risk(np.delete(confidence_N, n), np.delete(right_N, n)) for n in range(400)]
    jackknife_N = 400 * area - 399 * np.array(without_N)
    assert np.corrcoef(found_N, jackknife_N)[0, 1] > 0.99
    assert found_N.std() == pytest.approx(jackknife_N.std(), rel=0.05)
