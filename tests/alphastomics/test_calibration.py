"""Calibrated regions cover as they say where new cells are like the calibrated ones; and draws have the spread told."""

import numpy as np
import pytest

from pipeline.alphastomics.model.calibration import (
    LEVELS,
    Calibration,
    conformal_quantile,
    place_features,
    spread_as_expected,
)

CELLS = 3000


def tissue(seed, cells=CELLS):
    """Estimates whose errors grow with the distance from the middle, and those errors (N, 2)."""
    rng = np.random.default_rng(seed)
    estimate = rng.uniform(-1, 1, (cells, 2))
    scale = np.exp(np.linalg.norm(estimate, axis=1))
    return estimate, 0.3 * scale[:, None] * rng.normal(size=(cells, 2))


@pytest.fixture(scope="module")
def calibration():
    estimate, error = tissue(0)
    return Calibration.fit(place_features(estimate), np.linalg.norm(error, axis=1))


def test_regions_of_new_cells_cover_their_levels_wherever_the_cells_are(calibration):
    estimate, error = tissue(1)
    distance, outward = np.linalg.norm(error, axis=1), np.linalg.norm(estimate, axis=1)
    within = distance[:, None] <= calibration.radius(place_features(estimate))
    np.testing.assert_allclose(within.mean(0), LEVELS, atol=0.03)
    for part in (outward < 0.5, outward > 1):  # of one radius for all, the middle would be covered nearly always
        np.testing.assert_allclose(within[part].mean(0), LEVELS, atol=0.06)
    plain = distance <= conformal_quantile(distance, 0.9)
    assert plain[outward < 0.5].mean() > 0.95
    assert plain[outward > 1].mean() < 0.85


def test_the_spread_is_the_root_mean_square_of_the_errors(calibration):
    estimate, error = tissue(2)
    spread, distance = calibration.spread(place_features(estimate)), np.linalg.norm(error, axis=1)
    assert np.mean((distance / spread) ** 2) == pytest.approx(1, abs=0.1)
    assert np.corrcoef(spread, np.linalg.norm(estimate, axis=1))[0, 1] > 0.9


def test_cells_that_are_worse_than_the_calibrated_ones_are_not_covered(calibration):
    """The negative control: the levels hold for cells like these, and for no others."""
    estimate, error = tissue(3)
    radius = calibration.radius(place_features(estimate))
    assert (np.linalg.norm(2 * error, axis=1)[:, None] <= radius).mean(0)[LEVELS.index(0.9)] < 0.8


def test_errors_that_depend_on_nothing_get_one_radius():
    rng = np.random.default_rng(0)
    features, distance = rng.normal(size=(CELLS, 3)), np.abs(rng.normal(size=CELLS))
    radius = Calibration.fit(features, distance).radius(features)
    assert radius[:, 4].std() < 0.1 * radius[:, 4].mean()


def test_few_or_perfect_cells_are_fitted_too():
    found = Calibration.fit(np.zeros((1, 2)), np.array([0.5]))
    np.testing.assert_allclose(found.radius(np.ones((3, 2))), 0.5)
    assert (Calibration.fit(np.zeros((30, 2)), np.zeros(30)).radius(np.ones((3, 2))) == 0).all()
    with pytest.raises(ValueError, match="finite"):
        Calibration.fit(np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(ValueError, match="finite"):
        Calibration.fit(np.full((2, 2), np.nan), np.zeros(2))


def test_a_cell_that_is_far_out_is_not_extrapolated(calibration):
    far = calibration.radius(place_features(np.array([[50.0, 0.0]])))
    assert (far <= calibration.radius(place_features(tissue(0)[0])).max(axis=0) + 1e-12).all()


def test_a_calibration_is_kept_as_json(calibration):
    again = Calibration.from_description(calibration.described())
    features = place_features(tissue(1)[0])
    np.testing.assert_array_equal(again.radius(features), calibration.radius(features))
    np.testing.assert_array_equal(again.spread(features), calibration.spread(features))


@pytest.mark.parametrize(("level", "expected"), [(0.5, 5), (0.9, 9), (0.95, 9), (0.1, 1)])
def test_the_conformal_quantile_counts_the_new_score(level, expected):
    """Of nine scores, the tenth is as likely to be below the first as between any two: 0.9 is the ninth."""
    assert conformal_quantile(np.arange(9.0, 0, -1), level) == expected


def test_without_a_frame_turning_the_tissue_changes_no_feature():
    estimate = np.random.default_rng(0).normal(size=(40, 3))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(place_features(estimate @ turn), place_features(estimate))


def test_draws_lie_about_the_estimate_as_far_from_it_as_is_expected():
    rng = np.random.default_rng(0)
    estimate, drawn = rng.normal(size=(500, 2)), 0.01 * rng.normal(size=(8, 500, 2)) + 3
    spread = rng.uniform(0.5, 2, 500)
    found = spread_as_expected(estimate, drawn, spread)
    np.testing.assert_allclose(found.mean(0), estimate, atol=1e-9)
    variance = ((found - found.mean(0)) ** 2).sum(2).mean(0) * 8 / 7
    assert np.mean(variance / spread**2) == pytest.approx(1, abs=0.02)
    assert np.corrcoef(variance, spread**2)[0, 1] > 0.6
    together = found[0] - estimate, drawn[0] - drawn.mean(0)  # the directions are those of the draws
    np.testing.assert_allclose(np.sum(together[0] * together[1], axis=1) > 0, True)
    np.testing.assert_array_equal(spread_as_expected(estimate, np.stack([estimate] * 3), spread), [estimate] * 3)
