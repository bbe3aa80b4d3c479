"""Coverage and the energy score against closed forms and slow references, with positive and negative controls."""

import numpy as np
import pytest

from pipeline.alphastomics.metrics.place_uncertainty import coverage, energy_score

RNG = np.random.default_rng(0)
CELLS = 4000


def test_coverage_is_the_share_of_cells_within_their_radius():
    true, estimate = RNG.normal(size=(2, 50, 3))
    radius = RNG.uniform(0.5, 3, (50, 4))
    expected = [
        np.mean([np.sqrt(((true[n] - estimate[n]) ** 2).sum()) <= radius[n, level] for n in range(50)])
        for level in range(4)
    ]
    np.testing.assert_allclose(coverage(true, estimate, radius), expected)


def test_of_a_normal_error_the_closed_radius_covers_its_level():
    """The squared length of a standard normal vector in two dimensions is exponential with mean 2."""
    levels = np.array([0.1, 0.5, 0.9])
    radius = np.tile(np.sqrt(-2 * np.log(1 - levels)), (CELLS, 1))
    true = RNG.normal(size=(CELLS, 2))
    np.testing.assert_allclose(coverage(true, np.zeros((CELLS, 2)), radius), levels, atol=0.03)
    assert coverage(true, true, radius).tolist() == [1, 1, 1]  # the truth
    assert coverage(true, true + 100, radius).tolist() == [0, 0, 0]


@pytest.mark.parametrize("draws", [1, 2, 5])
def test_the_energy_score_is_that_of_a_slow_reference(draws):
    true, drawn = RNG.normal(size=(20, 2)), RNG.normal(size=(draws, 20, 2))
    scores = []
    for n in range(20):
        away = np.mean([np.linalg.norm(drawn[r, n] - true[n]) for r in range(draws)])
        pairs = [np.linalg.norm(drawn[r, n] - drawn[s, n]) for r in range(draws) for s in range(draws) if r != s]
        scores.append(away - np.mean(pairs or [0]) / 2)
    assert energy_score(true, drawn) == pytest.approx(np.mean(scores))


def test_honest_draws_have_the_lowest_energy_score():
    """In one dimension, draws from the standard normal distribution of the truth score 1 / sqrt(pi)."""
    true, drawn = RNG.normal(size=(CELLS, 1)), RNG.normal(size=(20, CELLS, 1))
    honest = energy_score(true, drawn)
    assert honest == pytest.approx(1 / np.sqrt(np.pi), abs=0.03)
    assert honest < energy_score(true, 0.3 * drawn) < energy_score(true, 0 * drawn)
    assert honest < energy_score(true, 3 * drawn)
    assert honest < energy_score(true, drawn + 1)
    assert energy_score(true, np.tile(true, (3, 1, 1))) == 0  # the truth
    assert energy_score(true, 0 * drawn) == pytest.approx(np.abs(true).mean())  # a point estimate: the mean distance


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="same cells"):
        coverage(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"draws \(R, N, S\)"):
        energy_score(np.zeros((3, 2)), np.zeros((3, 2)))
