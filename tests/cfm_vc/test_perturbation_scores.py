"""Scores of predicted means: exact values, agreement with scipy, a win and a loss for each."""

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import cdist

from pipeline.metrics.perturbation import discrimination, mae, mse, pearson, pearson_top, slope_change


def test_pearson_is_that_of_scipy():
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    assert pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-12)
    assert pearson(x, 3 * x + 7) == pytest.approx(1)
    assert pearson(x, -x) == pytest.approx(-1)


def test_pearson_of_a_constant_is_zero_not_nan():
    x = np.random.default_rng(0).normal(size=50)
    assert pearson(np.zeros(50), x) == 0
    assert pearson(x, np.full(50, 0.1)) == 0  # whose mean is not quite 0.1
    assert pearson(np.full(50, 1e5 / 3), x) == 0


def test_shuffled_genes_have_no_correlation():
    random = np.random.default_rng(0)
    x = random.gamma(1, 1, 60)
    found = [pearson(random.permutation(x), x) for _ in range(500)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(500)


def test_the_slope_is_that_of_scipy_and_the_size_of_the_effect():
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    assert slope_change(y, x) == pytest.approx(scipy.stats.linregress(x, y).slope, abs=1e-12)
    for size in (1, 0.5, 2, -1):
        assert slope_change(size * x + 7, x) == pytest.approx(size)
    assert slope_change(np.zeros(50), x) == slope_change(np.full(50, 0.1), x) == 0  # no effect, and the same for all
    assert np.isnan(slope_change(x, np.full(50, 0.1)))


def test_noise_in_the_prediction_leaves_the_slope_and_noise_in_the_truth_lowers_it():
    x, noise = np.random.default_rng(0).normal(size=(2, 20_000))
    assert slope_change(x + noise, x) == pytest.approx(1, abs=0.03)
    assert slope_change(x, x + noise) == pytest.approx(0.5, abs=0.03)


def test_errors_of_means():
    assert mse(np.array([1.0, 2.0]), np.array([1.0, 5.0])) == 4.5
    assert mae(np.array([1.0, 2.0]), np.array([1.0, 5.0])) == 1.5
    x = np.random.default_rng(0).normal(size=30)
    assert mse(x, x) == mae(x, x) == 0


def test_top_genes_are_those_of_the_rank():
    random = np.random.default_rng(0)
    predicted, true = random.normal(size=(2, 60))
    rank = random.permutation(60) + 1
    chosen = rank <= 7
    assert pearson_top(predicted, true, rank, 7) == pytest.approx(np.corrcoef(predicted[chosen], true[chosen])[0, 1])
    assert pearson_top(predicted, true, rank, 100) == pytest.approx(pearson(predicted, true))


def test_rows_of_resamples_are_what_each_gives_by_itself():
    random = np.random.default_rng(0)
    predicted, true = random.normal(size=(1, 30)), random.normal(size=(4, 30))
    rank = np.stack([random.permutation(30) + 1 for _ in range(4)])
    others = random.normal(size=(3, 30))
    for score in (pearson, slope_change, mse, mae, lambda x, y: discrimination(x, y, others)):
        np.testing.assert_allclose(score(predicted, true), [score(predicted[0], row) for row in true], rtol=1e-12)
    found = pearson_top(predicted, true, rank, 5)
    np.testing.assert_allclose(found, [pearson_top(predicted[0], true[r], rank[r], 5) for r in range(4)], rtol=1e-12)


def test_discrimination_is_the_rank_among_all_true_changes():
    others = np.array([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]])
    true = np.array([2.0, 2.0])
    assert discrimination(np.array([2.0, 2.1]), true, others) == 1
    assert discrimination(np.array([1.2, 1.2]), true, others) == pytest.approx(2 / 3)  # one is nearer
    assert discrimination(np.array([0.0, 0.0]), true, others) == pytest.approx(1 / 3)  # no effect
    assert discrimination(np.array([9.0, 9.0]), true, others) == pytest.approx(2 / 3)
    assert discrimination(np.array([1.5, 1.5]), true, others) == pytest.approx(1 - 0.5 / 3)  # a tie counts half


def test_discrimination_is_that_of_ranks_of_pairwise_distances():
    random = np.random.default_rng(0)
    true = random.normal(size=(12, 40))
    predicted = true + random.normal(scale=1.5, size=(12, 40))
    distance = cdist(predicted, true, "cityblock")
    for p in range(12):
        rank = scipy.stats.rankdata(distance[p])[p]  # 1 is the nearest
        found = discrimination(predicted[p], true[p], np.delete(true, p, axis=0))
        assert found == pytest.approx(1 - (rank - 1) / 11)


def test_discrimination_of_the_truth_is_one_of_noise_half_and_of_the_most_alike_opposite_zero():
    random = np.random.default_rng(0)
    true = random.normal(size=(30, 50))
    alone = [discrimination(true[p], true[p], np.delete(true, p, axis=0)) for p in range(30)]
    assert alone == [1] * 30
    noise = [discrimination(random.normal(size=50), true[p], np.delete(true, p, axis=0)) for p in range(30)]
    assert np.mean(noise) == pytest.approx(0.5, abs=0.12)
    assert discrimination(-10 * true[0], true[0], np.stack([-true[0], np.zeros(50)])) == 0


def test_without_another_perturbation_discrimination_is_undefined():
    assert np.isnan(discrimination(np.ones((2, 3)), np.ones(3), np.zeros((0, 3)))).all()
