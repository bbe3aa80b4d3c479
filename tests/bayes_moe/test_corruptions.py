import itertools

import numpy as np
import pytest
from scipy import ndimage

from pipeline.bayes_moe.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt


def images(channels, size=32, n=12):
    """Smooth scenes with an edge, in [0, 1]."""
    random = np.random.default_rng(0)
    x = ndimage.gaussian_filter(random.random((n, size, size, channels)), (0, size / 12, size / 12, 0))
    x = (x - x.min()) / (x.max() - x.min())
    x[:, size // 4 : size // 2, size // 4 : size // 2] = [0.9, 0.2, 0.4][:channels]
    return x.astype(np.float32)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 32), (3, 32)])
def test_every_corruption_keeps_shape_and_range_and_follows_its_seed(name, channels, size):
    x = images(channels, size)
    before = x.copy()
    for severity in SEVERITIES:
        found = corrupt(x, name, severity, seed=1)
        assert found.shape == x.shape
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert found.max() <= 1
        assert severity < 5 or not np.array_equal(found, x)  # a slight one may be nothing to 8 pixels
        np.testing.assert_array_equal(found, corrupt(x, name, severity, seed=1))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"elastic"}))
def test_a_higher_severity_does_more_harm(name):
    x = images(3)
    harm = [np.square(corrupt(x, name, severity, seed=1) - x).mean() for severity in SEVERITIES]
    assert harm[0] > 0
    assert harm[4] > 1.1 * harm[0]
    if name != "pixelate":  # whose blocks fall on edges by chance
        assert all(after > 0.9 * before for before, after in itertools.pairwise(harm))


def test_noise_has_its_strength():
    x = np.full((40, 32, 32, 3), 0.5, np.float32)
    assert corrupt(x, "gaussian_noise", 3, 0).std() == pytest.approx(0.08, rel=0.02)
    assert corrupt(x, "shot_noise", 3, 0).std() == pytest.approx(np.sqrt(0.5 / 100), rel=0.02)
    changed = corrupt(x, "impulse_noise", 5, 0)
    assert (changed != 0.5).mean() == pytest.approx(0.07, rel=0.05)
    assert (changed == 1).mean() == pytest.approx(0.035, rel=0.1)


def test_blur_keeps_the_mean_and_spreads_a_point():
    x = np.zeros((3, 33, 33, 1), np.float32)
    x[:, 16, 16] = 1
    for name in ("defocus_blur", "motion_blur"):
        found = corrupt(x, name, 5, 0)
        np.testing.assert_allclose(found.sum((1, 2, 3)), 1, rtol=1e-4)
        assert found.max() < 0.6
    disc = corrupt(x, "defocus_blur", 5, 0)[0, ..., 0]
    np.testing.assert_allclose(disc, disc.T, atol=1e-6)
    assert (disc > 1e-3).sum() >= 9


def test_brightness_keeps_hue_and_contrast_keeps_the_mean():
    x = np.full((1, 4, 4, 3), [0.2, 0.4, 0.1], np.float32)
    np.testing.assert_allclose(
        corrupt(x, "brightness", 5, 0)[0, 0, 0], np.array([0.2, 0.4, 0.1]) * 0.7 / 0.4, rtol=1e-5
    )
    smooth = 0.3 + 0.4 * images(3)
    found = corrupt(smooth, "contrast", 4, 0)
    np.testing.assert_allclose(found.mean((1, 2)), smooth.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(found.std((1, 2)), 0.3 * smooth.std((1, 2)), rtol=1e-4)


def test_wrong_names_and_severities_are_refused():
    with pytest.raises(ValueError, match="from 1 to 5"):
        corrupt(images(1), "jpeg", 6, 0)
    with pytest.raises(ValueError, match="rain"):
        corrupt(images(1), "rain", 1, 0)
