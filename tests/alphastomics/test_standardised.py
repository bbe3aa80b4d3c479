"""The scale of expression in tissue models: that of all training cells, and back."""

import json
import tracemalloc

import numpy as np
import pytest

from pipeline.alphastomics.data import standardised
from pipeline.alphastomics.data.standardised import Standard
from pipeline.data.cells import Cells, pointers
from pipeline.data.expression import log_normalise


def cells(counts):
    counts = np.asarray(counts, np.int32)
    rows, genes = np.nonzero(counts)
    return Cells(
        counts.shape[1],
        np.array([str(n) for n in range(len(counts))], object),
        pointers(np.bincount(rows, minlength=len(counts))),
        genes.astype(np.int32),
        counts[rows, genes],
        {},
        counts.sum(1).astype(np.int64),
    )


@pytest.fixture
def counts():
    """60 cells x 7 genes, one cell without a count."""
    random = np.random.default_rng(0)
    found = random.poisson(random.gamma(2, 2, 7), (60, 7))
    found[11] = 0
    return found


@pytest.mark.parametrize("block", [1, 7, 60, 1000])
def test_it_is_the_mean_and_deviation_of_all_cells_whatever_the_blocks(counts, monkeypatch, block):
    monkeypatch.setattr(standardised, "_BLOCK", block)
    size = counts.sum(1)
    x = np.log1p(counts / np.maximum(size, 1)[:, None] * np.median(size[size > 0]))
    for parts in ([counts], [counts[:13], counts[13:14], counts[14:]]):
        found = Standard.of(list(map(cells, parts)))
        assert found.target == np.median(size[size > 0])
        np.testing.assert_allclose(found.mean_G, x.mean(0), rtol=1e-5)
        np.testing.assert_allclose(found.deviation_G, x.std(0), rtol=1e-5)


def test_no_cell_is_left_out(counts):
    """Not the last, not the empty one: each changes the mean."""
    before = Standard.of([cells(counts)])
    for n in (0, 11, 59):
        without = Standard.of([cells(np.delete(counts, n, axis=0))])
        assert not np.allclose(without.mean_G, before.mean_G, rtol=1e-4)


def test_training_cells_have_mean_zero_and_variance_one_and_all_comes_back(counts):
    found = Standard.of([cells(counts)])
    x = found.of_counts(counts, counts.sum(1))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(0), 1, rtol=1e-4)
    logs = log_normalise(counts, counts.sum(1), found.target)
    np.testing.assert_allclose(found.log_normalised(x), logs, atol=1e-5)
    np.testing.assert_array_equal(found.of_expression(logs), x)
    assert found.log_normalised(x - 100).min() == found.log_normalised(x - 100).max() == 0  # no count is below 0


def test_a_gene_that_does_not_vary_is_not_blown_up(counts):
    counts[:, 2] = 0
    found = Standard.of([cells(counts)])
    assert found.deviation_G[2] == np.float32(1e-3)
    assert (found.of_counts(counts, counts.sum(1))[:, 2] == 0).all()


def test_it_is_written_down_and_read_back_bit_for_bit(counts):
    found = Standard.of([cells(counts)])
    again = Standard.from_description(json.loads(json.dumps(found.described())))
    assert again.target == found.target
    np.testing.assert_array_equal(again.mean_G, found.mean_G)
    np.testing.assert_array_equal(again.deviation_G, found.deviation_G)


def test_memory_does_not_grow_with_the_cells(monkeypatch):
    monkeypatch.setattr(standardised, "_BLOCK", 64)
    counts = np.zeros((8000, 100), np.int32)
    counts[:, 0], counts[np.arange(8000), np.arange(8000) % 100] = 3, 1
    of_all = cells(counts)
    tracemalloc.start()
    try:
        Standard.of([of_all])
        assert tracemalloc.get_traced_memory()[1] < counts.nbytes / 4
    finally:
        tracemalloc.stop()


def test_cells_without_any_count_have_no_scale():
    with pytest.raises(ValueError, match="no cell has a count"):
        Standard.of([cells(np.zeros((3, 2)))])
