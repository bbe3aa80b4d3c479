"""Kabsch: it undoes what was done, and nothing that can be tried does better."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import ortho_group, special_ortho_group

from pipeline.alphastomics.metrics.alignment import kabsch


def points(dimensions, cells=40, seed=0):
    return np.random.default_rng(seed).normal(size=(cells, dimensions)) * np.arange(1, dimensions + 1)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("reflection", [False, True])
def test_it_undoes_a_motion(dimensions, reflection):
    x = points(dimensions)
    group = ortho_group if reflection else special_ortho_group
    for seed in range(5):
        turn = group.rvs(dimensions, random_state=seed)
        moved = x @ turn.T + 5
        found = kabsch(x, moved, reflection=reflection)
        np.testing.assert_allclose(found.rotation_SS, turn, atol=1e-9)
        np.testing.assert_allclose(found.apply(x), moved, atol=1e-9)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_mirror_image_needs_a_reflection(dimensions):
    x = points(dimensions)
    mirrored = x * np.array([-1, *[1] * (dimensions - 1)])
    found = kabsch(mirrored, x, reflection=True)
    assert np.linalg.det(found.rotation_SS) < 0
    np.testing.assert_allclose(found.apply(mirrored), x, atol=1e-9)
    turned = kabsch(mirrored, x, reflection=False)
    assert np.linalg.det(turned.rotation_SS) > 0
    assert np.linalg.norm(turned.apply(mirrored) - x) > 1
    np.testing.assert_allclose(turned.rotation_SS @ turned.rotation_SS.T, np.eye(dimensions), atol=1e-9)


def test_in_three_dimensions_the_rotation_is_that_of_scipy():
    x, y = points(3), points(3, seed=1)
    expected = Rotation.align_vectors(y - y.mean(axis=0), x - x.mean(axis=0))[0].as_matrix()
    np.testing.assert_allclose(kabsch(x, y, reflection=False).rotation_SS, expected, atol=1e-9)


@pytest.mark.parametrize("reflection", [False, True])
def test_in_two_dimensions_no_angle_or_shift_tried_does_better(reflection):
    """The reference is a search: every tenth of a degree, both ways round, best shift for each."""
    x, y = points(2), points(2, seed=1)
    y[:, 0] += 0.5 * x[:, 0]
    centred_x, centred_y = x - x.mean(axis=0), y - y.mean(axis=0)
    tried = []
    for angle in np.radians(np.arange(0, 360, 0.1)):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        for flip in (1, -1) if reflection else (1,):
            turned = centred_x * [flip, 1] @ turn.T
            tried.append(((turned - centred_y) ** 2).sum())
    found = kabsch(x, y, reflection=reflection)
    error = ((found.apply(x) - y) ** 2).sum()
    assert error <= min(tried)
    assert error == pytest.approx(min(tried), rel=1e-4)


def test_points_in_one_place_go_to_the_mean():
    y = points(2)
    found = kabsch(np.full((40, 2), 0.1), y, reflection=False)
    np.testing.assert_allclose(found.apply(np.full((40, 2), 0.1)), np.tile(y.mean(axis=0), (40, 1)), atol=1e-9)


def test_what_cannot_be_aligned_is_refused():
    with pytest.raises(ValueError, match=r"got shapes \(3, 2\) and \(4, 2\)"):
        kabsch(np.zeros((3, 2)), np.zeros((4, 2)), reflection=True)
    with pytest.raises(ValueError, match="not finite"):
        kabsch(np.full((3, 2), np.nan), np.zeros((3, 2)), reflection=True)
