"""The jackknife over blocks: blocks of adjacent cells, and intervals as known cases have them."""

import numpy as np
import pytest

from pipeline.alphastomics.metrics.block_jackknife import jackknife_interval, spatial_blocks
from pipeline.metrics.mean_interval import mean_interval


def left_out(value_N, block_N):
    """The mean, then the means without each block."""
    return np.array([value_N.mean(), *(value_N[block_N != block].mean() for block in range(block_N.max() + 1))])


@pytest.mark.parametrize(("cells", "dimensions"), [(50, 2), (503, 2), (200, 3)])
def test_blocks_are_of_equal_size_and_of_adjacent_cells(cells, dimensions):
    place_NS = np.random.default_rng(0).uniform(size=(cells, dimensions))
    block_N = spatial_blocks(place_NS, 10)
    sizes = np.bincount(block_N)
    assert len(sizes) == 10
    assert np.ptp(sizes) <= 2
    within = np.mean([place_NS[block_N == block].std(axis=0).prod() for block in range(10)])
    assert within < place_NS.std(axis=0).prod() / 5


def test_blocks_are_cut_across_the_longest_extent():
    place_NS = np.stack([np.arange(100.0), np.zeros(100)], axis=1)
    np.testing.assert_array_equal(spatial_blocks(place_NS, 10), np.arange(100) // 10)
    with pytest.raises(ValueError, match="9 cells are too few for 10 blocks"):
        spatial_blocks(place_NS[:9], 10)


def test_of_a_mean_over_equal_blocks_it_is_the_interval_of_the_blocks_means():
    value_N, block_N = np.random.default_rng(1).normal(size=200), np.arange(200) // 20
    found = jackknife_interval(left_out(value_N, block_N))
    assert found == pytest.approx(mean_interval(value_N.reshape(10, 20).mean(axis=1))[1:])


def test_it_holds_the_truth_in_95_of_100_samples_also_where_neighbours_are_alike():
    """A bootstrap of single cells would hold it in far fewer: each value stands there five times."""
    random = np.random.default_rng(2)
    held = 0
    for _ in range(1000):
        value_N = np.repeat(random.normal(size=60), 5)
        low, high = jackknife_interval(left_out(value_N, np.arange(300) // 30))
        held += low <= 0 <= high
    assert 930 <= held <= 970


def test_it_stays_within_the_bounds_and_around_the_score():
    assert jackknife_interval(np.array([0.99, 0.9, 1.0, 0.8]), (-1.0, 1.0))[1] == 1.0
    assert jackknife_interval(np.array([0.5, 0.5, 0.5])) == (0.5, 0.5)
    assert jackknife_interval(np.array([0.5])) is None
