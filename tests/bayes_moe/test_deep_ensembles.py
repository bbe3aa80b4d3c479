"""Deep-ensemble equivalents against what they are by definition, with controls."""

from math import comb

import numpy as np
import pytest

from pipeline.bayes_moe.metrics.calibration import negative_log_likelihood, probabilities
from pipeline.bayes_moe.metrics.deep_ensembles import (
    MOST_SUBSETS,
    averaged,
    equivalents,
    losses,
    subsets,
)
from pipeline.bayes_moe.metrics.temperature import fit_temperature

CURVE = np.array([0.5, 0.4, 0.35, 0.34])


def networks(count: int, examples: int, seed: int, noise: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of independent networks: the truth and noise of their own."""
    random = np.random.default_rng(seed)
    label_N = random.integers(0, 5, examples)
    truth_NK = 3.0 * np.eye(5)[label_N]
    return truth_NK + noise * random.standard_normal((count, examples, 5)), label_N


def scaled(validation: np.ndarray, label_M: np.ndarray, test: np.ndarray, size: int) -> list[np.ndarray]:
    """Every ensemble of this size on the test examples, at the temperature that fits the validation examples."""
    return [
        averaged(test[chosen]) / fit_temperature(averaged(validation[chosen]), label_M)
        for chosen in map(list, subsets(len(test), size))
    ]


def test_an_ensemble_averages_probabilities():
    logit_RNK, label_N = networks(3, 50, 0)
    expected_NK = np.mean([probabilities(logit_NK) for logit_NK in logit_RNK], axis=0)
    np.testing.assert_allclose(np.exp(averaged(logit_RNK)), expected_NK, rtol=1e-12)
    np.testing.assert_allclose(averaged(logit_RNK.reshape(3, 10, 5, 5)), averaged(logit_RNK).reshape(10, 5, 5))
    np.testing.assert_allclose(averaged(logit_RNK[:1]), np.log(probabilities(logit_RNK[0])), rtol=1e-12)
    assert losses(logit_RNK[0], label_N).mean() == pytest.approx(negative_log_likelihood(logit_RNK[0], label_N))


@pytest.mark.parametrize(
    ("nll", "worth"),
    [(0.6, 1), (0.5, 1), (0.45, 1.5), (0.4, 2), (0.36, 2.8), (0.345, 3.5), (0.34, 4), (0.1, 4)],
)
def test_equivalents_lie_on_the_curve(nll: float, worth: float):
    assert equivalents(nll, CURVE) == pytest.approx(worth)


def test_equivalents_of_many_at_once_and_of_curves_that_are_not_monotone():
    nll = np.array([0.6, 0.45, 0.345])
    np.testing.assert_allclose(equivalents(nll, CURVE), [1, 1.5, 3.5])
    np.testing.assert_allclose(equivalents(nll, np.tile(CURVE, (3, 1))), [1, 1.5, 3.5])
    assert equivalents(0.37, np.array([0.5, 0.4, 0.45, 0.3])) == pytest.approx(3.3)  # from the best that came before
    assert equivalents(0.37, np.array([0.3, 0.4])) == 1


def brute_force(nll: float, nll_L: np.ndarray) -> float:
    """The first size on a fine grid at which the interpolated curve is low enough."""
    sizes = np.linspace(1, len(nll_L), 100_001)
    reached = np.interp(sizes, np.arange(1, len(nll_L) + 1), nll_L) <= nll
    return float(sizes[reached.argmax()]) if reached.any() else float(len(nll_L))


def test_equivalents_against_a_search():
    random = np.random.default_rng(0)
    for _ in range(50):
        curve = np.sort(random.random(6))[::-1]
        nll = float(random.uniform(-0.1, 1.1))
        assert equivalents(nll, curve) == pytest.approx(brute_force(nll, curve), abs=1e-4)


def test_an_ensemble_of_n_networks_is_worth_n():
    """The positive control: the method is itself an ensemble of new networks. The negative one: a single network."""
    (validation, label_M), (test, label_N) = networks(12, 2000, 1), networks(12, 4000, 2)
    curve = np.array(
        [
            np.mean([losses(one, label_N).mean() for one in scaled(validation[:6], label_M, test[:6], size)])
            for size in range(1, 7)
        ]
    )
    assert (np.diff(curve) < 0).all()
    for size in (1, 2, 4):
        chosen = slice(6, 6 + size)
        temperature = fit_temperature(averaged(validation[chosen]), label_M)
        nll = losses(averaged(test[chosen]) / temperature, label_N).mean()
        assert equivalents(nll, curve) == pytest.approx(size, abs=0.35)


def test_a_network_averaged_with_itself_is_worth_one():
    (validation, label_M), (test, label_N) = networks(1, 500, 1), networks(1, 500, 2)
    same = [np.repeat(part, 3, axis=0) for part in (validation, test)]
    nll = [losses(scaled(same[0], label_M, same[1], size)[0], label_N).mean() for size in (1, 3)]
    assert nll[0] == pytest.approx(nll[1], abs=1e-9)


def test_subsets_are_all_or_a_sample():
    assert subsets(4, 2) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    many = subsets(20, 10)
    assert len(set(many)) == MOST_SUBSETS < comb(20, 10)
    assert all(len(set(one)) == 10 for one in many)
    assert many == subsets(20, 10)
