"""Principal components: agreement with scikit-learn, fixed signs, small inputs."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from pipeline.cfm_vc.metrics.components import principal_components


@pytest.fixture
def cells():
    return np.random.default_rng(0).normal(size=(60, 8)) * np.arange(1, 9) + 5


def test_projection_is_that_of_scikit_learn_up_to_the_sign(cells):
    mine = principal_components(cells, 3).project(cells)
    theirs = PCA(3, svd_solver="full").fit_transform(cells)
    np.testing.assert_allclose(np.abs(mine), np.abs(theirs), atol=1e-9)


def test_signs_do_not_depend_on_the_order_of_cells(cells):
    first = principal_components(cells, 3).axes_KD
    np.testing.assert_allclose(first, principal_components(cells[::-1], 3).axes_KD, atol=1e-9)
    assert (first[np.arange(3), np.abs(first).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize(("cells_given", "genes", "expected"), [(3, 8, 2), (60, 4, 4), (2, 8, 1), (1, 8, 1)])
def test_no_more_components_than_the_data_has(cells, cells_given, genes, expected):
    assert len(principal_components(cells[:cells_given, :genes], 20).axes_KD) == expected


def test_projection_keeps_distances_when_all_components_are_kept(cells):
    projected = principal_components(cells, 8).project(cells)
    assert np.linalg.norm(projected[0] - projected[1]) == pytest.approx(np.linalg.norm(cells[0] - cells[1]))
