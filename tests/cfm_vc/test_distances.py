"""E-distance and MMD against closed forms and one-screen references; a win and a loss for each."""

import itertools

import numpy as np
import pytest

from pipeline.cfm_vc.metrics import distances
from pipeline.cfm_vc.metrics.distances import KERNEL_SCALES, e_distance, median_distance, mmd


def populations(seed, n, m, shift=0.0, dimensions=3):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, dimensions)), random.normal(size=(m, dimensions)) + shift


def slow_e_distance(x, y):
    def mean(pairs):
        return np.mean([np.linalg.norm(a - b) for a, b in pairs])

    return 2 * mean(itertools.product(x, y)) - mean(itertools.permutations(x, 2)) - mean(itertools.permutations(y, 2))


def slow_mmd(x, y, bandwidth):
    def mean(pairs):
        return np.mean(
            [
                np.mean([np.exp(-np.sum((a - b) ** 2) / (2 * (s * bandwidth) ** 2)) for s in KERNEL_SCALES])
                for a, b in pairs
            ]
        )

    return mean(itertools.permutations(x, 2)) + mean(itertools.permutations(y, 2)) - 2 * mean(itertools.product(x, y))


@pytest.mark.parametrize(("n", "m"), [(2, 2), (7, 4), (5, 11)])
def test_both_agree_with_the_sum_over_pairs(n, m, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", 3)  # several blocks, the last one short
    x, y = populations(n, n, m, shift=0.7)
    assert e_distance(x, y) == pytest.approx(slow_e_distance(x, y), rel=1e-12)
    assert mmd(x, y, 1.3) == pytest.approx(slow_mmd(x, y, 1.3), rel=1e-12)


def test_closed_forms_on_points_of_a_line():
    x, y = np.array([[0.0], [0.0]]), np.array([[3.0], [3.0]])
    assert e_distance(x, y) == 2 * 3
    kernel = np.mean([np.exp(-9 / (2 * s**2)) for s in KERNEL_SCALES])
    assert mmd(x, y, 1.0) == pytest.approx(2 - 2 * kernel)
    # within x: |0 - 2| = 2; between: all at distance 1 on average; within y: 0
    assert e_distance(np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]])) == pytest.approx(2 * 1 - 2 - 0)


def test_e_distance_of_shifted_normals_is_its_closed_form():
    """E|N(a, 2)| has a closed form on the line; 2 (E|N(1, 2)| - E|N(0, 2)|) for a shift of 1."""
    x, y = populations(0, 4000, 4000, dimensions=1)
    shifted = 2 / np.sqrt(np.pi) * np.exp(-1 / 4) + 0.5204998778130465  # 2 sigma phi + a erf(a / (2 sigma)), erf(1/2)
    assert e_distance(x, y + 1) == pytest.approx(2 * (shifted - 2 / np.sqrt(np.pi)), abs=0.05)


@pytest.mark.parametrize("measure", [e_distance, lambda x, y: mmd(x, y, median_distance(x))])
def test_two_samples_of_one_population_are_at_zero_on_average(measure):
    """Unbiased: the positive control does not depend on the number of cells."""
    same = [measure(*populations(seed, 30, 50)) for seed in range(1000, 1200)]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(200)  # with the diagonal in it would be at 30
    assert min(same) < 0  # the price of being unbiased, as the docstring says


@pytest.mark.parametrize("measure", [e_distance, lambda x, y: mmd(x, y, median_distance(x))])
def test_a_population_further_away_scores_worse(measure):
    x, _ = populations(1, 200, 2)
    near, far, wide = (populations(seed, 2, 200, shift)[1] for seed, shift in [(2, 0.3), (3, 1.0), (4, 0.0)])
    assert measure(x, near) < measure(x, far)
    # Same mean, other spread: squared Euclidean distances would be blind to it.
    assert measure(x, wide * 2) > 5 * abs(measure(x, wide))


def test_mixing_the_labels_takes_the_distance_away():
    """Negative control: with shuffled labels both sides are the same mixture."""
    x, y = populations(5, 150, 150, shift=1.0)
    mixed = np.random.default_rng(6).permutation(np.concatenate([x, y]))
    assert abs(e_distance(mixed[:150], mixed[150:])) < 0.05 * e_distance(x, y)
    assert abs(mmd(mixed[:150], mixed[150:], 2.0)) < 0.05 * mmd(x, y, 2.0)


def test_the_bandwidth_is_the_median_of_nonzero_distances():
    assert median_distance(np.array([[0.0], [0.0], [1.0], [5.0]])) == np.median([1, 5, 1, 5, 4])
    assert median_distance(np.zeros((3, 2))) == 1.0
    x = np.random.default_rng(0).normal(size=(5000, 4))
    assert median_distance(x) == pytest.approx(median_distance(x, most=5000), rel=0.03)


def test_what_cannot_be_judged_is_refused():
    x = np.zeros((5, 2))
    with pytest.raises(ValueError, match="at least two cells, got 1 and 5"):
        e_distance(x[:1], x)
    with pytest.raises(ValueError, match="at least two cells, got 5 and 1"):
        mmd(x, x[:1], 1.0)
    with pytest.raises(ValueError, match="bandwidth must be positive"):
        mmd(x, x, 0.0)
