"""Log-normalised expression: agreement with scanpy, empty cells, the sparse form equal to the dense one."""

import anndata
import numpy as np
import pytest
import scanpy
import scipy.sparse

from pipeline.data.expression import log_normalise, log_normalise_entries, median_library_size


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(1.5, (20, 9)).astype(np.float32)


def test_it_is_normalize_total_and_log1p_of_scanpy(counts):
    cells = anndata.AnnData(counts.copy())
    scanpy.pp.normalize_total(cells, target_sum=50)
    scanpy.pp.log1p(cells)
    np.testing.assert_allclose(log_normalise(counts, counts.sum(axis=1), 50), cells.X, rtol=1e-5)


def test_a_cell_without_counts_stays_zero(counts):
    counts[3] = 0
    assert (log_normalise(counts, counts.sum(axis=1), 50)[3] == 0).all()


def test_huge_counts_stay_finite():
    assert np.isfinite(log_normalise(np.array([[100_000, 0]]), np.array([100_000]), 1e4)).all()


def test_sparse_and_dense_agree(counts):
    sparse = scipy.sparse.csr_matrix(counts).tocoo()
    size = counts.sum(axis=1).astype(np.int64)
    dense = log_normalise(counts, size, 50)
    entries = log_normalise_entries(sparse.data, sparse.row, size, 50)
    np.testing.assert_allclose(entries, dense[sparse.row, sparse.col], rtol=1e-5)


def test_the_target_is_the_median_of_cells_with_counts():
    assert median_library_size(np.array([0, 0, 10, 20, 60])) == 20
    with pytest.raises(ValueError, match="no cell has a count"):
        median_library_size(np.zeros(3))
