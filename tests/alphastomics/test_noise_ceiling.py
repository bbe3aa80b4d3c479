"""The ceiling that the noise of counts sets to a gene's PCC, on counts whose expectation is known."""

import numpy as np
import pytest

from pipeline.alphastomics.metrics.noise_ceiling import noise_ceiling
from pipeline.alphastomics.metrics.spatial_expression import expression_scores
from pipeline.data.expression import log_normalise

CELLS, GENES = 4000, 60


def tissue(depth, pattern=1.0, seed=0):
    """Expected counts of each cell and gene, and counts: waves along one axis, stronger in later genes."""
    random = np.random.default_rng(seed)
    place = random.uniform(0, 1, (CELLS, 2))
    waves = np.sin(2 * np.pi * (place[:, :1] * random.uniform(0.5, 2, GENES) + random.uniform(0, 1, GENES)))
    share = np.exp(pattern * np.linspace(0.2, 1.5, GENES) * waves + random.normal(0, 0.5, GENES))
    expected = depth * share / share.sum(axis=1, keepdims=True)
    return place, expected, random.poisson(expected)


@pytest.mark.parametrize("depth", [150, 1000])
def test_the_expectation_itself_scores_the_ceiling(depth):
    place, expected, counts = tissue(depth)
    true, best = (log_normalise(x, x.sum(axis=1), depth) for x in (counts, expected))
    ceiling = noise_ceiling(counts, depth, 0)
    reached = expression_scores(true, best, place).genes["pcc"]
    assert np.mean(reached) == pytest.approx(np.mean(ceiling), abs=0.03)
    assert np.abs(reached - ceiling).max() < 0.12
    assert np.corrcoef(reached, ceiling)[0, 1] > 0.98


def test_deeper_counts_leave_more_to_gain():
    shallow, deep = (noise_ceiling(tissue(depth)[2], depth, 0).mean() for depth in (150, 1000))
    assert shallow < deep - 0.1


def test_without_a_pattern_there_is_little_to_gain():
    """The negative control; above 0 by chance alone, see the docstring."""
    assert noise_ceiling(tissue(1000, pattern=0)[2], 1000, 0).mean() < 0.15


def test_a_gene_without_counts_has_nothing_to_gain_and_the_seed_decides():
    counts = tissue(150)[2]
    counts[:, 3] = 0
    found = noise_ceiling(counts, 150, 0)
    assert found[3] == 0
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, noise_ceiling(counts, 150, 0))
    assert not np.array_equal(found, noise_ceiling(counts, 150, 1))
