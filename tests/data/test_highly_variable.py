"""Streaming gene selection gives what scanpy gives on data that fits in memory."""

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.sparse

from pipeline.core.errors import ExpectedError
from pipeline.data.csr import CsrBlock
from pipeline.data.highly_variable import ClippedSums, GeneSums, expected_deviation, most_variable

SECTION = "cfm_vc.preprocess"  # named in messages


def counts_of(cells: int, genes: int, seed: int) -> scipy.sparse.csr_matrix:
    """Sparse counts of log-normal abundances with over-dispersed genes, a few bursts, and silent genes."""
    rng = np.random.default_rng(seed)
    mean_G = rng.lognormal(-1.5, 1.5, genes)
    mean_G[rng.choice(genes, genes // 50)] = 0
    activity_NG = rng.gamma(rng.uniform(0.2, 5, genes), 1.0, (cells, genes))
    x_NG = rng.poisson(mean_G * activity_NG)
    bursts = rng.random((cells, genes)) < 1e-4
    x_NG[bursts] += rng.integers(200, 2000, bursts.sum())  # far above any clipping limit
    return scipy.sparse.csr_matrix(x_NG.astype(np.int32))


def blocks(matrix: scipy.sparse.csr_matrix, rows: int) -> Iterator[scipy.sparse.csr_matrix]:
    for start in range(0, matrix.shape[0], rows):
        yield matrix[start : start + rows]


def as_block(matrix: scipy.sparse.csr_matrix) -> CsrBlock:
    return CsrBlock(0, matrix.indptr.astype(np.int64), matrix.indices, matrix.data)


def streamed(matrix: scipy.sparse.csr_matrix, rows: int) -> tuple[GeneSums, np.ndarray]:
    sums = GeneSums(matrix.shape[1])
    for block in blocks(matrix, rows):
        sums.add(block.shape[0], block.indices, block.data)
    clipped = ClippedSums(sums, expected_deviation(sums.mean_G, sums.variance_G, SECTION))
    for block in blocks(matrix, rows):
        clipped.add(as_block(block), np.ones(block.shape[0], bool))
    return sums, clipped.standardised_variance_G


@pytest.mark.parametrize(("cells", "genes", "seed"), [(700, 900, 0), (3000, 400, 1), (150, 2000, 2)])
def test_agrees_with_scanpy(cells: int, genes: int, seed: int) -> None:
    import anndata
    import scanpy

    matrix = counts_of(cells, genes, seed)
    sums, standardised_G = streamed(matrix, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = scanpy.pp.highly_variable_genes(
            anndata.AnnData(matrix), flavor="seurat_v3", n_top_genes=100, inplace=False
        )
    np.testing.assert_allclose(sums.mean_G, expected["means"], rtol=1e-12)
    np.testing.assert_allclose(sums.variance_G, expected["variances"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(standardised_G, expected["variances_norm"], rtol=1e-9, atol=1e-12)
    assert most_variable(standardised_G, 100).tolist() == np.flatnonzero(expected["highly_variable"]).tolist()
    # Scanpy leaves the order of exact ties open, so its ranking is compared through the values it puts in order.
    by_rank = expected["highly_variable_rank"].to_numpy()[:, None] == np.arange(100)
    ranked_by_scanpy = standardised_G[by_rank.argmax(axis=0)]
    np.testing.assert_allclose(ranked_by_scanpy, np.sort(standardised_G)[::-1][:100], rtol=1e-9)


def test_agrees_with_the_formula_on_dense_counts() -> None:
    matrix = counts_of(300, 200, 3)
    sums, standardised_G = streamed(matrix, 300)
    x_NG = matrix.toarray().astype(float)
    deviation_G = expected_deviation(x_NG.mean(axis=0), x_NG.var(axis=0, ddof=1), SECTION)
    clipped_NG = np.minimum((x_NG - x_NG.mean(axis=0)) / deviation_G, np.sqrt(300))
    np.testing.assert_allclose(sums.variance_G, x_NG.var(axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(standardised_G, (clipped_NG**2).sum(axis=0) / 299, rtol=1e-9, atol=1e-12)
    unclipped_G = sums.variance_G / deviation_G**2
    assert (standardised_G < 0.9 * unclipped_G).any(), "the data must exercise the clipping"


def test_the_division_into_blocks_does_not_matter() -> None:
    matrix = counts_of(500, 300, 4)
    one, many = streamed(matrix, 500), streamed(matrix, 7)
    np.testing.assert_array_equal(one[0].squares_G, many[0].squares_G)
    np.testing.assert_allclose(one[1], many[1], rtol=1e-12)


def test_cells_that_are_not_chosen_do_not_count() -> None:
    matrix = counts_of(400, 300, 5)
    chosen = np.random.default_rng(0).random(400) < 0.7
    part = matrix[np.flatnonzero(chosen)]
    sums, expected_G = streamed(part, 400)
    clipped = ClippedSums(sums, expected_deviation(sums.mean_G, sums.variance_G, SECTION))
    clipped.add(as_block(matrix), chosen)
    np.testing.assert_allclose(clipped.standardised_variance_G, expected_G, rtol=1e-12)


def test_sums_of_large_counts_are_exact() -> None:
    sums = GeneSums(2)
    for _ in range(3):
        sums.add(1, np.array([0, 1], np.int32), np.array([2**26 - 1, 5], np.int32))
    assert sums.squares_G[0] == 3 * (2**26 - 1) ** 2
    assert sums.variance_G[1] == 0, "a constant gene has no variance, not a rounding error"


def test_of_equally_variable_genes_the_earlier_wins() -> None:
    assert most_variable(np.array([1.0, 3.0, 2.0, 3.0, 2.0, 2.0]), 4).tolist() == [1, 2, 3, 4]


def test_too_few_genes_for_the_curve_are_told() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ExpectedError, match="at least 20 genes that vary are needed"):
        expected_deviation(rng.random(19) + 0.1, rng.random(19) + 0.1, SECTION)


def test_genes_that_all_look_the_same_are_told() -> None:
    mean_G = np.repeat([0.01, 0.02, 0.03], 100)
    with pytest.raises(ExpectedError, match=r"raise cfm_vc\.preprocess\.min_cells_per_gene"):
        expected_deviation(mean_G, mean_G, SECTION)
