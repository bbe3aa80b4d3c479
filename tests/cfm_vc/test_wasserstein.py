"""Wasserstein-1 per gene against scipy, closed forms, and resamples written out as copies of cells."""

import numpy as np
import pytest
import scipy.stats

from pipeline.cfm_vc.metrics.bootstrap import draws
from pipeline.cfm_vc.metrics.wasserstein import wasserstein


def populations(n, m, genes=6):
    """Log-normalised counts: many cells at zero, some tied; the last gene never varies."""
    random = np.random.default_rng(n)
    x, y = (np.log1p(random.poisson(0.8, (cells, genes))).astype(np.float32) for cells in (n, m))
    x[:, 0] += random.random(n)  # no ties, and negative values
    y[:, 1] = -y[:, 1]
    x[:, -1] = y[:, -1] = 0.5
    return x, y


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 7), (30, 11), (11, 30)])
def test_it_is_that_of_scipy_gene_by_gene(n, m):
    x, y = populations(n, m)
    expected = [scipy.stats.wasserstein_distance(x[:, gene], y[:, gene]) for gene in range(6)]
    np.testing.assert_allclose(wasserstein(x, y), [expected], rtol=1e-6, atol=1e-12)


def test_a_resample_weighs_a_cell_as_often_as_it_is_drawn():
    x, y = populations(20, 9)
    random = np.random.default_rng(0)
    times_x, times_y = draws(20, 3, random), draws(9, 3, random)
    found = wasserstein(x, y, times_x, times_y)
    for row, (a, b) in enumerate(zip(times_x.astype(int), times_y.astype(int), strict=True)):
        copies_x, copies_y = np.repeat(x, a, axis=0), np.repeat(y, b, axis=0)
        expected = [scipy.stats.wasserstein_distance(copies_x[:, g], copies_y[:, g]) for g in range(6)]
        np.testing.assert_allclose(found[row], expected, rtol=1e-6, atol=1e-12)


def test_closed_forms():
    x = np.array([[0.0], [1.0], [2.0]])
    assert wasserstein(x, x + 3) == pytest.approx(3)  # a shift
    assert wasserstein(x, 2 * x) == pytest.approx(np.mean([0, 1, 2]))  # sorted cells, paired
    assert wasserstein(x, np.array([[1.0]])) == pytest.approx(2 / 3)


def test_the_truth_wins_and_a_collapsed_or_shuffled_population_loses():
    random = np.random.default_rng(0)
    x, again = random.gamma(2, 1, (2, 400, 5)) * np.arange(1, 6)
    assert (wasserstein(x, x) == 0).all()
    assert (wasserstein(x, random.permutation(x)) == 0).all()  # cells have no order
    near = wasserstein(x, again)
    assert (wasserstein(x, np.broadcast_to(x.mean(axis=0), x.shape)) > 3 * near).all()
    assert wasserstein(x, again[:, ::-1]).mean() > 5 * near.mean()  # genes do


def test_no_cells_are_refused():
    with pytest.raises(ValueError, match="at least one cell, got 0 and 2"):
        wasserstein(np.zeros((0, 3)), np.zeros((2, 3)))
