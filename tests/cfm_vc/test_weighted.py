"""Errors weighted by differential expression: the source's own steps, exact values, a win and a loss for each."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.metrics.differential import welch_t
from pipeline.cfm_vc.metrics.weighted import de_weights, pooled, r2_weighted, wmse

GENES = 40


def moments(expression):
    return Moments(len(expression), expression.mean(axis=0), (expression**2).sum(axis=0))


def exactly(mean, spread=1.0, cells=10):
    """Moments of cells with this mean and unbiased variance."""
    mean = np.array(mean, dtype=float)
    return Moments(cells, mean, (cells - 1) * spread + cells * mean**2)


def test_weights_are_squares_of_scaled_statistics_that_sum_to_one():
    """|t| of 0, 1, 2 and 4 in some unit."""
    found = de_weights(exactly([0, -1, 2, 4]), exactly([0, 0, 0, 0]))
    np.testing.assert_allclose(found, np.array([0, 1, 4, 16]) / 21, rtol=1e-12)


def test_weights_take_the_steps_of_the_source():
    """Absolute, from 0 to 1, squared, to a sum of 1."""
    random = np.random.default_rng(0)
    treated, rest = (moments(random.gamma(2, 1, (cells, GENES))) for cells in (30, 80))
    size = np.abs(welch_t(treated, rest))
    scaled = ((size - size.min()) / (size.max() - size.min())) ** 2
    np.testing.assert_allclose(de_weights(treated, rest), scaled / scaled.sum(), rtol=1e-12)


def test_weights_of_extremes():
    """Nothing tells genes apart: all alike. Some differ without any variance: those alone."""
    same = exactly([1, 1, 1])
    np.testing.assert_allclose(de_weights(same, same), [1 / 3] * 3)
    sure, control = exactly([0, 1, 2], spread=np.array([1, 0, 0])), exactly([5, 0, 0], spread=np.array([1, 0, 0]))
    np.testing.assert_array_equal(de_weights(sure, control), [0, 0.5, 0.5])


def test_cells_of_several_perturbations_are_pooled():
    random = np.random.default_rng(1)
    parts = [random.normal(size=(cells, GENES)) for cells in (5, 40)]
    found, expected = pooled([moments(part) for part in parts]), moments(np.concatenate(parts))
    assert found.cells == 45
    np.testing.assert_allclose(found.mean_G, expected.mean_G, atol=1e-12)
    np.testing.assert_allclose(found.variance_G, expected.variance_G, rtol=1e-9)


def test_errors_by_hand():
    """Changes of two genes; the other perturbation changes the first alone."""
    true, others, weight = np.array([4.0, 2.0]), np.array([[2.0, 0.0]]), np.array([0.75, 0.25])
    assert wmse(np.array([3.0, 0.0]), true, weight) == pytest.approx(0.75 * 1 + 0.25 * 4)
    # Against the mean (3, 1) of both the true change is (1, 1), against control it is (4, 2) around 3.5.
    assert np.isnan(r2_weighted(np.array([3.0, 0.0]), true, others, weight))
    none = np.zeros((0, 2))
    assert r2_weighted(np.array([3.0, 0.0]), true, none, weight) == pytest.approx(
        1 - 1.75 / (0.75 * 0.25 + 0.25 * 2.25)
    )


def test_r2_is_that_of_scikit_learn_with_weights_of_samples():
    random = np.random.default_rng(2)
    true, predicted, weight = random.normal(size=GENES), random.normal(size=GENES), random.random(GENES)
    weight /= weight.sum()
    others = random.normal(size=(3, GENES))
    shared = np.mean([true, *others], axis=0)
    expected = r2_score(true - shared, predicted - shared, sample_weight=weight)
    assert r2_weighted(predicted, true, others, weight) == pytest.approx(expected, rel=1e-12)


def responses():
    """Changes that are mostly shared by all perturbations: of the true one, of the others, and weights of genes."""
    random = np.random.default_rng(3)
    shared, own = random.normal(size=GENES), np.where(np.arange(GENES) < 5, random.normal(0, 2, GENES), 0)
    others = shared + np.stack([np.roll(own, 5 * step) for step in range(1, 6)])
    weight = own**2 / np.sum(own**2)
    return shared + own, others, weight


def test_what_all_perturbations_share_counts_for_nothing_and_the_truth_is_one():
    true, others, weight = responses()
    mean = np.mean([true, *others], axis=0)
    assert r2_weighted(true, true, others, weight) == 1
    assert r2_weighted(mean, true, others, weight) <= 0
    assert r2_weighted(np.zeros(GENES), true, others, weight) < 0
    nearly = true + np.random.default_rng(4).normal(0, 0.2, GENES)
    assert 0.9 < r2_weighted(nearly, true, others, weight) < 1
    assert wmse(true, true, weight) == 0
    assert wmse(nearly, true, weight) < 0.1 * wmse(mean, true, weight)


def test_errors_elsewhere_than_in_the_specific_genes_do_not_count():
    true, others, weight = responses()
    elsewhere = true + np.where(weight > 0, 0, 5)
    assert wmse(elsewhere, true, weight) == 0
    assert r2_weighted(elsewhere, true, others, weight) == 1


def test_rows_of_resamples_are_what_each_gives_by_itself():
    random = np.random.default_rng(5)
    true, predicted, others = (
        random.normal(size=(4, GENES)),
        random.normal(size=(1, GENES)),
        random.normal(size=(2, GENES)),
    )
    weight = random.random((4, GENES))
    weight /= weight.sum(axis=1, keepdims=True)
    for row in range(4):
        assert wmse(predicted, true, weight)[row] == pytest.approx(wmse(predicted[0], true[row], weight[row]))
        alone = r2_weighted(predicted[0], true[row], others, weight[row])
        assert r2_weighted(predicted, true, others, weight)[row] == pytest.approx(alone)
