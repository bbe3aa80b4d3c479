"""One placement out of several draws: what is common survives turning and mirroring, what is not shows as spread."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist

from pipeline.alphastomics.model.procrustes_consensus import consensus, turned_onto

CELLS = 300


def tissue(dimensions, seed=0):
    """A tissue without symmetry, centred."""
    place = np.random.default_rng(seed).gamma(2, 1, (CELLS, dimensions)) * np.arange(1, dimensions + 1)
    return place - place.mean(axis=0)


def orthogonal(dimensions, seed, reflected):
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(dimensions, dimensions)))
    if (np.linalg.det(matrix) < 0) != reflected:
        matrix[:, 0] *= -1
    return matrix


def moved(place, draws=6, noise=0.0):
    """Draws at any angle, either way up and anywhere, with noise of this size per coordinate of the odd cells."""
    random = np.random.default_rng(1)
    found = []
    for draw in range(draws):
        noisy = place + noise * random.normal(size=place.shape) * (np.arange(len(place)) % 2)[:, None]
        turned = noisy @ orthogonal(place.shape[1], draw, reflected=draw % 2 == 0).T
        found.append(turned + random.normal(size=place.shape[1]) * 100)
    return np.array(found)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_draws_that_agree_but_for_their_pose_have_no_spread(dimensions):
    place = tissue(dimensions)
    found = consensus(moved(place), free=True)
    np.testing.assert_allclose(pdist(found.place_NS), pdist(place), atol=1e-8)
    np.testing.assert_allclose(found.place_NS.mean(axis=0), 0, atol=1e-9)
    assert found.spread_N.max() < 1e-6
    np.testing.assert_allclose(found.draws_DNS, np.broadcast_to(found.place_NS, found.draws_DNS.shape), atol=1e-6)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_noise_shows_as_spread_of_the_cells_that_have_it(dimensions):
    place = tissue(dimensions)
    found = consensus(moved(place, draws=60, noise=0.2), free=True)
    even, odd = found.spread_N[::2], found.spread_N[1::2]
    assert odd.mean() == pytest.approx(0.2 * np.sqrt(dimensions), rel=0.05)
    assert even.max() < 0.2 * odd.mean()
    rotation, _ = orthogonal_procrustes(found.place_NS, place)
    assert np.abs(found.place_NS @ rotation - place)[::2].max() < 0.05


def test_draws_of_different_tissues_spread_as_wide_as_they_are():
    draws = np.array([tissue(2, seed) for seed in range(6)])
    found = consensus(draws, free=True)
    size = np.sqrt((draws**2).sum(axis=2).mean())
    assert np.sqrt((found.spread_N**2).mean()) > 0.5 * size
    # what the mean loses in size is the spread
    assert (found.place_NS**2).sum() + (found.spread_N**2).sum() == pytest.approx((draws**2).sum() / 6)


def test_in_a_shared_frame_draws_are_neither_turned_nor_moved():
    place = tissue(2)
    draws = np.array([place, place @ orthogonal(2, 1, reflected=False).T])
    found = consensus(draws, free=False)
    np.testing.assert_allclose(found.place_NS, draws.mean(axis=0))
    np.testing.assert_allclose(found.draws_DNS, draws)
    assert found.spread_N.mean() > 0.1
    shift_D1S = np.array([[[5.0, -3.0]], [[0.0, 1.0]]])
    shifted = consensus(draws + shift_D1S, free=False)
    np.testing.assert_allclose(shifted.place_NS, found.place_NS + shift_D1S.mean(axis=0), atol=1e-9)


def test_the_consensus_lies_as_one_of_the_draws_does():
    draws = moved(tissue(2), noise=0.1)
    found = consensus(draws, free=True)
    centred = draws - draws.mean(axis=1, keepdims=True)
    assert min(np.abs(found.place_NS - draw).max() for draw in centred) < 1


def test_a_single_draw_is_the_consensus():
    place = tissue(3)
    found = consensus(place[None] + 7, free=True)
    np.testing.assert_allclose(found.place_NS, place, atol=1e-9)
    assert found.spread_N.max() < 1e-9


def test_turning_is_that_of_scipy():
    place, draws = tissue(3), moved(tissue(3), noise=0.5)
    draws -= draws.mean(axis=1, keepdims=True)
    for draw, turned in zip(draws, turned_onto(draws, place), strict=True):
        rotation, _ = orthogonal_procrustes(draw, place)
        np.testing.assert_allclose(turned, draw @ rotation, atol=1e-9)


def test_cells_in_one_place_stay_there():
    found = consensus(np.ones((3, 4, 2)), free=True)
    assert (found.place_NS == 0).all()
    assert (found.spread_N == 0).all()


@pytest.mark.parametrize("draws", [np.zeros((0, 4, 2)), np.zeros((4, 2)), np.full((2, 3, 2), np.nan)])
def test_what_are_no_draws_is_refused(draws):
    with pytest.raises(ValueError, match="finite draws"):
        consensus(draws, free=True)
