"""Standardised expression of cells in which only some of the genes were looked for."""

import numpy as np
import pytest

from pipeline.alphastomics.data.standardised import Standard

MEAN = np.array([0.5, 1.0, 2.0, 0.1], np.float32)
STANDARD = Standard(100.0, MEAN, np.array([1.0, 0.5, 2.0, 0.3], np.float32))
COUNTS = np.array([[3, 0, 20, 1], [1, 5, 9, 0]])


def test_with_every_gene_it_is_what_counts_are():
    every = np.ones(4, bool)
    found = STANDARD.of_partial_counts(COUNTS, COUNTS.sum(1), every)
    np.testing.assert_allclose(found, STANDARD.of_counts(COUNTS, COUNTS.sum(1)), rtol=1e-6)


def test_genes_that_were_not_looked_for_and_cells_without_counts_are_at_the_training_mean():
    found_G = np.array([True, True, False, True])
    counts = np.vstack([COUNTS * found_G, np.zeros(4, int)])
    found = STANDARD.of_partial_counts(counts, counts.sum(1), found_G)
    share = sum(np.exp(m) - 1 for m in MEAN[[0, 1, 3]]) / sum(np.exp(m) - 1 for m in MEAN)
    for cell in range(2):
        for gene in range(4):
            scaled = counts[cell, gene] / counts[cell].sum() * 100 * share
            expected = (np.log(1 + scaled) - MEAN[gene]) / STANDARD.deviation_G[gene] if found_G[gene] else 0
            assert found[cell, gene] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(found[2], 0)
    # Without the share, the genes that were found would look as if the cell had nothing else.
    naive = STANDARD.of_counts(counts[:2], counts[:2].sum(1))
    assert (naive[:, 0] > found[:2, 0]).all()
