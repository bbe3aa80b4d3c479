"""Moments and samples of groups, gathered from blocks: equal to the plain computation on all cells at once."""

import numpy as np
import pytest

from pipeline.cfm_vc.data.groups import group_moments, group_samples, sources
from pipeline.data.cells import Cells, pointers
from pipeline.data.expression import log_normalise

CELLS, GENES = 200, 7


@pytest.fixture
def cells():
    random = np.random.default_rng(0)
    counts = random.poisson(0.8, (CELLS, GENES)) * random.integers(0, 2, (CELLS, 1))  # half the cells are empty
    rows, genes = np.nonzero(counts)
    return Cells(
        genes=GENES,
        names=np.array([f"cell{i}" for i in range(CELLS)], dtype=object),
        indptr=pointers(np.bincount(rows, minlength=CELLS)),
        indices=genes.astype(np.int32),
        counts=counts[rows, genes].astype(np.int32),
        covariates={
            "perturbation": random.integers(0, 3, CELLS),
            "cell_type": random.integers(0, 2, CELLS),
            "batch": np.zeros(CELLS, np.int64),
        },
        library_size=counts.sum(axis=1),
    )


def blocks(cells, size):
    return (cells.select(np.arange(start, min(start + size, len(cells)))) for start in range(0, len(cells), size))


@pytest.mark.parametrize("size", [1, 33, CELLS])
def test_moments_are_those_of_all_cells_at_once(cells, size):
    found = group_moments(blocks(cells, size), target=10)
    expression = log_normalise(cells.dense(slice(None)), cells.library_size, 10).astype(np.float64)
    assert list(found) == [(c, p) for c in range(2) for p in range(3)]
    for (cell_type, perturbation), moments in found.items():
        mine = expression[(cells.cell_type == cell_type) & (cells.perturbation == perturbation)]
        assert moments.cells == len(mine)
        np.testing.assert_allclose(moments.mean_G, mine.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(moments.variance_G, mine.var(axis=0, ddof=1), rtol=1e-5)


def test_a_constant_gene_has_no_variance_in_spite_of_rounding(cells):
    one = cells.select(np.flatnonzero(cells.library_size > 0)[:1])
    (moments,) = group_moments([one] * 11, target=10).values()
    assert (moments.variance_G == 0).all()
    (single,) = group_moments([one], target=10).values()
    assert (single.variance_G == 0).all()


def test_samples_come_from_their_group_without_repeats_in_stored_order(cells):
    samples = group_samples(blocks(cells, 33), [(0, 1), (1, 2)], most=12, seed=0)
    assert list(samples) == [(0, 1), (1, 2)]
    for (cell_type, perturbation), sample in samples.items():
        assert len(sample) == 12
        assert (sample.cell_type == cell_type).all()
        assert (sample.perturbation == perturbation).all()
        places = [list(cells.names).index(name) for name in sample.names]
        assert places == sorted(set(places))
        np.testing.assert_array_equal(sample.dense(slice(None)), cells.dense(np.array(places)))


def test_a_sample_does_not_depend_on_the_blocks_but_on_the_seed(cells):
    def names(size, seed):
        return list(group_samples(blocks(cells, size), [(0, 1)], most=12, seed=seed)[0, 1].names)

    assert names(1, 0) == names(33, 0) == names(CELLS, 0)
    assert names(33, 0) != names(33, 1)


def test_every_cell_of_a_group_is_as_likely(cells):
    group = cells.names[(cells.cell_type == 0) & (cells.perturbation == 1)]
    drawn = [n for seed in range(300) for n in group_samples(blocks(cells, 33), [(0, 1)], 12, seed)[0, 1].names]
    times = np.array([drawn.count(name) for name in group])
    expected = 300 * 12 / len(group)
    assert np.sum((times - expected) ** 2 / expected) < 2 * len(group)  # chi-squared, mean len(group) - 1


def test_a_small_group_is_taken_whole_and_an_absent_one_is_left_out(cells):
    size = int(((cells.cell_type == 0) & (cells.perturbation == 1)).sum())
    samples = group_samples(blocks(cells, 33), [(0, 1), (5, 5)], most=1000, seed=0)
    assert {group: len(sample) for group, sample in samples.items()} == {(0, 1): size}


def test_sources_are_the_same_perturbation_elsewhere_then_others_of_the_cell_type_then_all():
    known = dict.fromkeys([(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0)])
    assert sources(known, (1, 1), control=0) == [(0, 1)]
    assert sources(known, (0, 2), control=0) == [(1, 2)]  # never the group itself
    assert sources(known, (1, 9), control=0) == [(1, 2)]
    assert sources(known, (2, 9), control=0) == [(0, 1), (0, 2), (1, 2)]
    assert sources({(0, 0): None, (0, 1): None}, (0, 1), control=0) == []
