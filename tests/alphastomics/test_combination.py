"""Weights of estimates: against a slow reference, never worse than the best estimate, and by gene."""

import numpy as np
import pytest
from scipy.optimize import minimize

from pipeline.alphastomics.model.combination import Combination, residual_products, residuals, simplex_weights
from pipeline.alphastomics.model.measured_cells import COMBINED
from pipeline.core.errors import ExpectedError

RNG = np.random.default_rng(0)


def products(cells=200, estimates=4, seed=0):
    residual = np.random.default_rng(seed).normal(size=(cells, estimates)) * np.arange(1, estimates + 1) + 0.3
    return residual.T @ residual


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("estimates", [2, 3, 7])
def test_weights_are_those_of_a_general_solver(estimates, seed):
    product = products(30, estimates, seed)
    reference = minimize(
        lambda weights: weights @ product @ weights / product.trace(),
        np.full(estimates, 1 / estimates),
        bounds=[(0, 1)] * estimates,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    ).x
    weights = simplex_weights(product)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights, reference, atol=1e-4)


def test_of_two_independent_estimates_the_weights_are_inverse_variances():
    np.testing.assert_allclose(simplex_weights(np.diag([1.0, 4.0])), [0.8, 0.2], atol=1e-6)


def test_a_perfect_estimate_gets_all_the_weight_and_none_of_worth_gets_none():
    np.testing.assert_allclose(simplex_weights(np.diag([1.0, 0.0, 2.0])), [0, 1, 0], atol=1e-6)
    # the second is the first plus more of the same error
    np.testing.assert_allclose(simplex_weights(np.array([[1.0, 1.5], [1.5, 2.5]])), [1, 0], atol=1e-6)
    np.testing.assert_allclose(simplex_weights(np.zeros((3, 3))), np.full(3, 1 / 3))
    same = simplex_weights(np.ones((2, 2)))
    assert same.sum() == pytest.approx(1)


def test_a_combination_is_no_worse_than_any_part_on_the_cells_it_is_from():
    true = RNG.normal(size=(300, 2)).astype(np.float32)
    network, ridge, nearest = (true + RNG.normal(0, size, true.shape).astype(np.float32) for size in (0.5, 0.6, 2))
    near, origin = np.stack([ridge, nearest], axis=1), np.zeros_like(true)
    products_of_axes = residual_products(residuals(network, np.stack([ridge, nearest, origin], axis=1), true))
    residual = np.stack([network, ridge, nearest, origin], axis=1) - true[:, None]
    np.testing.assert_allclose(products_of_axes, np.einsum("nks,nls->skl", residual, residual), rtol=1e-4, atol=1e-3)
    combination = Combination.fit(products_of_axes.sum(axis=0), np.ones((1, 3, 3)))
    combined = combination.place(network, near)
    errors = [np.square(part - true).sum() for part in (network, ridge, nearest)]
    assert np.square(combined - true).sum() < min(errors)
    np.testing.assert_allclose(
        combined,
        np.tensordot(combination.place_K, np.stack([network, ridge, nearest, origin]), axes=1),
        rtol=1e-5,
        atol=1e-5,
    )


def test_an_estimate_that_is_spread_too_far_is_drawn_in_and_keeps_its_weight_beside_one_that_is_not():
    """Twice the truth is as good as the truth in the order of distances; without the origin it would have half."""
    true = RNG.normal(size=(300, 2)).astype(np.float32)
    near = np.stack([true + RNG.normal(0, 0.5, true.shape), np.zeros_like(true)], axis=1).astype(np.float32)
    combination = Combination.fit(residual_products(residuals(2 * true, near, true)).sum(axis=0), np.ones((1, 2, 2)))
    np.testing.assert_allclose(combination.place_K, [0.5, 0, 0.5], atol=1e-5)
    np.testing.assert_allclose(combination.place(2 * true, near[:, :1]), true, atol=1e-4)


def test_genes_have_weights_of_their_own_drawn_to_those_of_all():
    by_gene = np.stack([np.diag([1.0, 9.0]), np.diag([9.0, 1.0]), np.diag([1.0, 1.0])])
    combination = Combination.fit(np.eye(2), by_gene)
    mean = by_gene.mean(axis=0)
    expected = [simplex_weights(own + 5 * mean) for own in by_gene]
    np.testing.assert_allclose(combination.expression_KG, np.transpose(expected))
    assert combination.expression_KG[0, 0] > 0.5 > combination.expression_KG[0, 1]
    x, near = RNG.normal(size=(5, 3)).astype(np.float32), RNG.normal(size=(5, 1, 3)).astype(np.float32)
    found = combination.expression(x, near)
    np.testing.assert_allclose(
        found, combination.expression_KG[0] * x + combination.expression_KG[1] * near[:, 0], rtol=1e-5
    )


def test_a_combination_is_kept_as_json():
    of_genes = np.stack([products(estimates=1 + len(COMBINED), seed=seed) for seed in (1, 2)])
    combination = Combination.fit(products(), of_genes)
    again = Combination.from_description(combination.described())
    np.testing.assert_array_equal(again.place_K, combination.place_K)
    np.testing.assert_array_equal(again.expression_KG, combination.expression_KG)


def test_weights_of_another_set_of_estimates_are_refused():
    older = Combination.fit(products(), np.stack([products(seed=1), products(seed=2)])).described()
    with pytest.raises(ExpectedError, match=r"combines 4 estimates of expression, not 8: .*; train it again"):
        Combination.from_description(older)
