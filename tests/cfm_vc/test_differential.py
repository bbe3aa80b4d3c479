"""DE genes, overlap and direction: agreement with scipy, exact values, a win and a loss for each."""

import numpy as np
import pytest
import scipy.stats

from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.metrics.differential import (
    de_direction,
    de_genes,
    de_overlap,
    de_rank,
    welch_p,
    welch_t,
)


def moments(expression):
    return Moments(len(expression), expression.mean(axis=0), (expression**2).sum(axis=0))


@pytest.fixture
def groups():
    """Treated and control expression; the first 10 of 60 genes respond."""
    random = np.random.default_rng(0)
    control, treated = random.gamma(2, 0.5, (80, 60)), random.gamma(2, 0.5, (50, 60))
    treated[:, :10] += np.linspace(2, 1, 10)
    return treated, control


def test_welch_is_that_of_scipy(groups):
    treated, control = groups
    expected = scipy.stats.ttest_ind(treated, control, equal_var=False)
    both = moments(treated), moments(control)
    np.testing.assert_allclose(welch_t(*both), expected.statistic, rtol=1e-9)
    np.testing.assert_allclose(welch_p(*both), expected.pvalue, rtol=1e-7)


def test_genes_without_variance_rank_by_whether_they_differ():
    treated = moments(np.tile([0.0, 1.0, 2.0, 0.0], (5, 1)))
    control = moments(np.tile([0.0, 1.0, 0.0, 1.0], (4, 1)))
    np.testing.assert_array_equal(welch_t(treated, control), [0, 0, np.inf, -np.inf])
    np.testing.assert_array_equal(welch_p(treated, control), [1, 1, 0, 0])
    np.testing.assert_array_equal(de_rank(treated, control), [3, 4, 1, 2])
    np.testing.assert_array_equal(de_genes(treated, control), [False, False, True, True])


def test_the_genes_that_respond_rank_first_whatever_the_sign(groups):
    treated, control = map(moments, groups)
    assert sorted(de_rank(treated, control)[:10]) == list(range(1, 11))
    np.testing.assert_array_equal(de_rank(treated, control), de_rank(control, treated))


def test_de_genes_are_those_that_step_up_through_the_sorted_p_values(groups):
    """Benjamini and Hochberg as they wrote it: all up to the last p that is below 5 % of its rank's share."""
    treated, control = map(moments, groups)
    p = welch_p(treated, control)
    order = np.argsort(p)
    last = max(place for place, gene in enumerate(order, 1) if p[gene] <= 0.05 * place / 60)
    assert set(np.flatnonzero(de_genes(treated, control))) == set(order[:last])
    assert set(range(10)) <= set(order[:last])


def test_without_an_effect_hardly_any_data_set_has_a_de_gene():
    random = np.random.default_rng(1)
    found = [
        de_genes(moments(random.normal(size=(40, 50))), moments(random.normal(size=(40, 50)))).any() for _ in range(200)
    ]
    assert np.mean(found) < 0.1  # 5 %, and its error


def test_overlap_by_hand():
    true, predicted = np.array([[3.0, -4.0, 1.0, 0.0]]), np.array([[0.5, -1.5, 2.0, 0.0]])
    found = de_overlap(predicted, true, [1, 2, 3, 4])
    assert {top: share.tolist() for top, share in found.items()} == {1: [0], 2: [0.5], 3: [1], 4: [1]}


def test_overlap_of_the_truth_is_one_of_no_effect_zero_and_of_noise_chance():
    random = np.random.default_rng(0)
    true = np.append(random.normal(size=50), np.zeros(10))
    assert de_overlap(true, true, [5, 20, 100]) == {5: 1, 20: 1, 100: 1}
    assert de_overlap(-3 * true, true, [5, 20, 100]) == {5: 1, 20: 1, 100: 1}  # direction is another score
    assert de_overlap(np.zeros(60), true, [5, 20, 100]) == {5: 0, 20: 0, 100: 0}
    noise = [de_overlap(random.normal(size=60), true, [20])[20] for _ in range(500)]
    assert np.mean(noise) == pytest.approx(20 / 60, abs=0.02)
    assert np.isnan(de_overlap(true, np.zeros(60), [20])[20])


def test_direction_by_hand_and_its_controls():
    true, de = np.array([1.0, -1.0, 2.0, -2.0]), np.array([True, True, True, False])
    assert de_direction(np.array([0.1, -9.0, -1.0, 1.0]), true, de) == pytest.approx(2 / 3)
    assert de_direction(true, true, de) == 1
    assert de_direction(-true, true, de) == 0
    assert de_direction(np.zeros(4), true, de) == 0
    assert np.isnan(de_direction(true, true, np.zeros(4, bool)))
    random = np.random.default_rng(0)
    coin = de_direction(random.normal(size=(1, 2000)), random.normal(size=(1, 2000)), np.ones(2000, bool))
    assert coin[0] == pytest.approx(0.5, abs=0.05)


def test_rows_of_resamples_are_what_each_gives_by_itself():
    random = np.random.default_rng(2)
    true, predicted = random.normal(size=(3, 60)), random.normal(size=(1, 60))
    de = random.random((3, 60)) < 0.4
    overlap, direction = de_overlap(predicted, true, [20])[20], de_direction(predicted, true, de)
    for row in range(3):
        assert overlap[row] == de_overlap(predicted[0], true[row], [20])[20]
        assert direction[row] == de_direction(predicted[0], true[row], de[row])
