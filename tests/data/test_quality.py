"""Cells are kept by their counts and genes; histograms show what was lost."""

import numpy as np
import pytest

from pipeline.data.csr import CsrBlock
from pipeline.data.quality import EDGES, CellFilter, Histogram, counts_per_cell, entries_of


def block_of(x_NG: np.ndarray, start: int = 0) -> CsrBlock:
    present_NG = x_NG > 0
    indptr = np.concatenate([[0], present_NG.sum(axis=1).cumsum()]).astype(np.int64)
    return CsrBlock(start, indptr, np.nonzero(present_NG)[1].astype(np.int32), x_NG[present_NG].astype(np.int32))


def random_counts(seed: int) -> np.ndarray:
    x_NG = np.random.default_rng(seed).poisson(0.7, (40, 9))
    x_NG[[0, 7, 8, 39]] = 0  # empty cells at the ends and side by side
    return x_NG


def test_counts_per_cell_with_empty_cells() -> None:
    x_NG = random_counts(0)
    np.testing.assert_array_equal(counts_per_cell(block_of(x_NG)), x_NG.sum(axis=1))
    np.testing.assert_array_equal(counts_per_cell(block_of(np.zeros((3, 2), int))), [0, 0, 0])


def test_large_counts_do_not_overflow() -> None:
    x_NG = np.full((1, 4), 2**31 - 1)
    assert counts_per_cell(block_of(x_NG)).tolist() == [4 * (2**31 - 1)]


@pytest.mark.parametrize("seed", range(5))
def test_entries_of_chosen_cells(seed: int) -> None:
    x_NG = random_counts(seed)
    chosen = np.random.default_rng(seed).random(40) < 0.5
    expected = block_of(x_NG[chosen])
    indices, counts = entries_of(block_of(x_NG), chosen)
    np.testing.assert_array_equal(indices, expected.indices)
    np.testing.assert_array_equal(counts, expected.counts)


@pytest.mark.parametrize("chosen", [True, False])
def test_entries_of_all_and_of_no_cells(chosen: bool) -> None:
    block = block_of(random_counts(1))
    indices, counts = entries_of(block, np.full(40, chosen))
    assert len(indices) == len(counts) == (len(block.counts) if chosen else 0)


def test_thresholds_are_inclusive_and_both_needed() -> None:
    x_NG = np.array([[5, 0, 0], [2, 2, 0], [2, 3, 0], [1, 1, 1], [0, 0, 0]])
    cells = CellFilter(min_counts=5, min_genes=2)
    assert cells.keep(block_of(x_NG)).tolist() == [False, False, True, False, False]
    assert cells.empty == 1


def test_no_threshold_keeps_even_empty_cells() -> None:
    assert CellFilter(0, 0).keep(block_of(np.zeros((2, 3), int))).all()


def test_histograms_do_not_depend_on_blocks() -> None:
    x_NG = random_counts(2)
    whole, parts = CellFilter(4, 3), CellFilter(4, 3)
    whole.keep(block_of(x_NG))
    for start in range(0, 40, 7):
        parts.keep(block_of(x_NG[start : start + 7], start))
    assert whole.histograms() == parts.histograms()


def test_a_histogram_agrees_with_numpy() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(7, 1, 5000).astype(np.int64)
    kept = values >= 500
    histogram = Histogram()
    histogram.add(values, kept)
    report = histogram.report()
    edges = report["edges"]
    assert report["before"] == np.histogram(values, edges)[0].tolist()
    assert report["after"] == np.histogram(values[kept], edges)[0].tolist()
    assert sum(report["before"]) == 5000
    assert report["before"][0]
    assert report["before"][-1], "empty bins at the ends are left out"


def test_edges_are_logarithmic_whole_numbers() -> None:
    assert EDGES[:5].tolist() == [1, 2, 3, 4, 5]
    ratios = EDGES[EDGES >= 100][1:] / EDGES[EDGES >= 100][:-1]
    np.testing.assert_allclose(ratios, 10**0.05, atol=0.01)


def test_histogram_of_nothing() -> None:
    assert Histogram().report() == {"edges": [1, 2], "before": [0], "after": [0]}
