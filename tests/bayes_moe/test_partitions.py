"""The adjusted Rand index against scikit-learn's and against counting pairs, with controls."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from pipeline.bayes_moe.metrics.partitions import adjusted_rand


def by_pairs(first: np.ndarray, second: np.ndarray) -> float:
    """By definition: every pair of tokens, together or apart in each partition."""
    pairs = list(combinations(range(len(first)), 2))
    one, other = (np.array([labels[i] == labels[j] for i, j in pairs]) for labels in (first, second))
    expected = one.sum() * other.sum() / len(pairs)
    return float(((one & other).sum() - expected) / ((one.sum() + other.sum()) / 2 - expected))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_that_of_its_definition_and_of_another_implementation(seed: int):
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 4, 40), random.integers(3, 9, 40)
    second[:20] = first[:20]
    assert adjusted_rand(first, second) == pytest.approx(by_pairs(first, second))
    assert adjusted_rand(first, second) == pytest.approx(adjusted_rand_score(first, second))


def test_the_numbering_of_experts_says_nothing_and_independent_gates_agree_by_chance():
    random = np.random.default_rng(0)
    first = random.integers(0, 8, 20_000)
    assert adjusted_rand(first, np.array([5, 7, 0, 2, 1, 3, 6, 4])[first]) == 1
    assert adjusted_rand(first, random.integers(0, 8, 20_000)) == pytest.approx(0, abs=2e-3)


def test_what_is_not_divided_at_all():
    one = np.zeros(5, int)
    assert adjusted_rand(one, one) == adjusted_rand_score(one, one) == 1
    assert adjusted_rand(one, np.arange(5)) == adjusted_rand_score(one, np.arange(5)) == 0
    assert adjusted_rand(np.zeros(1, int), np.zeros(1, int)) == 1
