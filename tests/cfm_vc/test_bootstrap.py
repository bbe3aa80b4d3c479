"""The bootstrap: resamples as copies of cells, and intervals that hold a known answer as often as they say."""

import numpy as np
import pytest

from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.metrics.bootstrap import draws, percentile_interval, resampled_moments
from pipeline.cfm_vc.metrics.distances import e_distance, mmd
from pipeline.metrics.perturbation import mse, pearson


def moments(expression):
    expression = expression.astype(float)
    return Moments(len(expression), expression.mean(axis=0), (expression**2).sum(axis=0))


def test_draws_are_with_replacement_as_many_as_there_are_cells():
    times = draws(50, 2000, np.random.default_rng(0))
    assert times.shape == (2001, 50)
    assert (times[0] == 1).all()
    assert (times.sum(axis=1) == 50).all()
    assert times[1:].mean(axis=0) == pytest.approx(np.ones(50), abs=0.12)
    assert np.mean(times[1:] == 0) == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)


def test_the_seed_decides():
    first, same, other = (draws(9, 5, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_resampled_moments_are_those_of_the_copied_cells():
    cells = np.random.default_rng(0).gamma(2, 1, (30, 4)).astype(np.float32)
    times = draws(30, 3, np.random.default_rng(1))
    found = resampled_moments(moments(cells), cells, times)
    for row in range(4):
        copies = np.repeat(cells, times[row].astype(int), axis=0).astype(float)
        np.testing.assert_allclose(found.mean_G[row], copies.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(found.variance_G[row], copies.var(axis=0, ddof=1), rtol=1e-5)


def test_a_mean_of_more_cells_than_the_sample_moves_by_its_own_error():
    cells = np.random.default_rng(0).normal(5, 2, (4000, 3)).astype(np.float32)
    sample = cells[:100]
    found = resampled_moments(moments(cells), sample, draws(100, 4000, np.random.default_rng(1)))
    np.testing.assert_array_equal(found.mean_G[0], moments(cells).mean_G)
    expected = sample.std(axis=0) / np.sqrt(4000)
    np.testing.assert_allclose(found.mean_G[1:].std(axis=0), expected, rtol=0.05)
    np.testing.assert_allclose(found.mean_G[1:].mean(axis=0), moments(cells).mean_G, atol=4 * expected.max() / 60)


def test_the_interval_is_that_of_the_resamples_put_around_the_score():
    values = np.arange(101.0)
    assert percentile_interval(np.array([50, *values])) == pytest.approx((2.5, 97.5))
    assert percentile_interval(np.array([-3, *values])) == pytest.approx((-50.5, 44.5))
    assert percentile_interval(np.array([90, *values]), bounds=(50, 100)) == pytest.approx((50, 100))
    assert percentile_interval(np.array([0.5, np.nan, 0.4])) == (0.5, 0.5)


def test_without_a_score_or_a_resample_there_is_no_interval():
    assert percentile_interval(np.array([0.5])) is None
    assert percentile_interval(np.array([0.5, np.nan])) is None
    assert percentile_interval(np.array([np.nan, 0.5])) is None


@pytest.mark.parametrize("measure", [e_distance, lambda *a: mmd(a[0], a[1], 1.3, *a[2:])])
def test_distances_of_resamples_leave_a_cells_copies_out(measure):
    """A copy is the cell itself: pairs are of different cells, weighed by how often both are drawn."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(6, 2)), random.normal(size=(5, 2)) + 1
    times_x, times_y = draws(6, 4, random), draws(5, 4, random)
    found = measure(x, y, times_x, times_y)
    assert found[0] == pytest.approx(measure(x, y)[0], rel=1e-12)

    def slow(a, b):
        def f(p, q):
            d = np.linalg.norm(p - q)
            if measure is e_distance:
                return d
            return -np.mean([np.exp(-(d**2) / (2 * (s * 1.3) ** 2)) for s in (0.25, 0.5, 1, 2, 4)])

        def within(z, w):
            pairs = [(i, j) for i in range(len(z)) for j in range(len(z)) if i != j]
            weights = [w[i] * w[j] for i, j in pairs]
            return np.average([f(z[i], z[j]) for i, j in pairs], weights=weights)

        between = np.average([f(p, q) for p in x for q in y], weights=np.outer(a, b).reshape(-1))
        return 2 * between - within(x, a) - within(y, b)

    expected = [slow(times_x[row], times_y[row]) for row in range(5)]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_a_resample_of_one_cell_only_has_no_distance():
    x = np.array([[0.0], [1.0]])
    found = e_distance(x, x, np.array([[1.0, 1.0], [2.0, 0.0]]), np.ones((2, 2)))
    assert np.isfinite(found[0])
    assert np.isnan(found[1])


def coverage(score, truth, trials=300):
    held = 0
    for seed in range(trials):
        low, high = percentile_interval(score(np.random.default_rng(seed)))
        held += low <= truth <= high
    return held / trials


def test_intervals_of_the_energy_distance_hold_the_true_one_as_often_as_they_say():
    """Two normal populations one standard deviation apart: 2 (E|N(1, 2)| - E|N(0, 2)|), see test_distances."""
    shifted = 2 / np.sqrt(np.pi) * np.exp(-1 / 4) + 0.5204998778130465
    truth = 2 * (shifted - 2 / np.sqrt(np.pi))

    def score(random):
        x, y = random.normal(size=(60, 1)), random.normal(1, 1, size=(80, 1))
        return e_distance(x, y, draws(60, 200, random), draws(80, 200, random))

    assert 0.90 < coverage(score, truth) < 0.99


@pytest.mark.parametrize("metric", [pearson, mse])
def test_intervals_of_scores_of_means_hold_the_true_score_as_often_as_they_say(metric):
    """A prediction with an error much larger than that of the truth's mean, which is all that the interval is about."""
    constant = np.random.default_rng(0)
    true_G, predicted_G = constant.normal(size=20), constant.normal(size=20)

    def score(random):
        cells = (true_G + random.normal(size=(100, 20))).astype(np.float32)
        means = resampled_moments(moments(cells), cells, draws(100, 200, random)).mean_G
        return metric(predicted_G[None], means)

    assert 0.90 < coverage(score, metric(predicted_G, true_G)) < 0.99


def test_an_error_over_many_genes_is_held_with_the_noise_of_as_many_cells():
    """A perfect prediction: all of its error is the noise of the truth's mean, variance / cells on average.

    The resamples themselves have twice that error, and their percentiles would hardly ever hold it.
    """

    def score(random):
        cells = random.normal(size=(50, 100)).astype(np.float32)
        return mse(np.zeros((1, 100)), resampled_moments(moments(cells), cells, draws(50, 200, random)).mean_G)

    assert coverage(score, 1 / 50) > 0.90
    values = score(np.random.default_rng(0))
    assert values[1:].mean() == pytest.approx(2 * values[0], rel=0.05)
