"""Scores of predicted means: exact values, agreement with scipy and scanpy, a win and a loss for each."""

import numpy as np
import pytest
import scipy.stats

from pipeline.data.groups import Moments
from pipeline.metrics.perturbation import de_rank, mae, mean_scores, mse, pearson, welch_t


def moments(expression):
    return Moments(len(expression), expression.mean(axis=0), (expression**2).sum(axis=0))


@pytest.fixture
def groups():
    """Treated and control expression; the first 10 of 60 genes respond."""
    random = np.random.default_rng(0)
    control, treated = random.gamma(2, 0.5, (80, 60)), random.gamma(2, 0.5, (50, 60))
    treated[:, :10] += np.linspace(2, 1, 10)
    return treated, control


def test_pearson_is_that_of_scipy():
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    assert pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-12)
    assert pearson(x, 3 * x + 7) == pytest.approx(1)
    assert pearson(x, -x) == pytest.approx(-1)


def test_pearson_of_a_constant_is_zero_not_nan():
    x = np.random.default_rng(0).normal(size=50)
    assert pearson(np.zeros(50), x) == 0
    assert pearson(x, np.full(50, 2.0)) == 0


def test_errors_of_means():
    assert mse(np.array([1.0, 2.0]), np.array([1.0, 5.0])) == 4.5
    assert mae(np.array([1.0, 2.0]), np.array([1.0, 5.0])) == 1.5


def test_welch_t_is_that_of_scipy(groups):
    treated, control = groups
    expected = scipy.stats.ttest_ind(treated, control, equal_var=False).statistic
    np.testing.assert_allclose(welch_t(moments(treated), moments(control)), expected, rtol=1e-9)


def test_genes_without_variance_rank_by_whether_they_differ():
    treated = np.tile([0.0, 1.0, 2.0, 0.0], (5, 1))
    control = np.tile([0.0, 1.0, 0.0, 1.0], (4, 1))
    np.testing.assert_array_equal(welch_t(moments(treated), moments(control)), [0, 0, np.inf, -np.inf])
    np.testing.assert_array_equal(de_rank(moments(treated), moments(control)), [3, 4, 1, 2])


def test_the_genes_that_respond_rank_first_whatever_the_sign(groups):
    treated, control = groups
    assert sorted(de_rank(moments(treated), moments(control))[:10]) == list(range(1, 11))
    np.testing.assert_array_equal(
        de_rank(moments(treated), moments(control)), de_rank(moments(control), moments(treated))
    )


def test_truth_against_itself_wins_and_shuffled_genes_lose(groups):
    treated, control = map(moments, groups)
    change, rank = treated.mean_G - control.mean_G, de_rank(treated, control)
    best = mean_scores(change, change, rank, [5, 20])
    assert best == pytest.approx(
        {"pearson_change": 1, "pearson_change_top5": 1, "pearson_change_top20": 1, "mse": 0, "mae": 0}
    )
    shuffled = [mean_scores(np.random.default_rng(seed).permutation(change), change, rank, [20]) for seed in range(200)]
    assert abs(np.mean([s["pearson_change"] for s in shuffled])) < 0.05
    assert abs(np.mean([s["pearson_change_top20"] for s in shuffled])) < 0.1
    assert min(s["mse"] for s in shuffled) > 0.05


def test_top_genes_are_those_of_the_truth(groups):
    treated, control = map(moments, groups)
    change, rank = treated.mean_G - control.mean_G, de_rank(treated, control)
    top = np.argsort(rank)[:5]
    predicted = np.random.default_rng(1).normal(size=60)
    scores = mean_scores(predicted, change, rank, [5, 100])
    assert scores["pearson_change_top5"] == pytest.approx(np.corrcoef(predicted[top], change[top])[0, 1])
    assert scores["pearson_change_top100"] == scores["pearson_change"]  # only 60 genes
