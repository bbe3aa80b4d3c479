"""Ten image corruptions, each at five severities, to test robustness to what training did not show.

Kinds and strengths are those of CIFAR-10-C (Hendrycks and Dietterich, "Benchmarking neural network robustness", 2019),
implemented anew. Lengths are for images of 32 pixels and scale with the width. Values are in [0, 1] before and after.

N: images, H, W: pixels, C: channels, 1 or 3.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Images = npt.NDArray[np.float32]
Float = npt.NDArray[Any]  # of either precision
Corruption = Callable[[Images, int, np.random.Generator], Float]

SEVERITIES = (1, 2, 3, 4, 5)
_WIDTH = 32  # pixels that lengths are given for


def corrupt(image_NHWC: Images, name: str, severity: int, seed: int) -> Images:
    """All images, corrupted; reproducible from the seed. ValueError for an unknown severity or name."""
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity} is not from 1 to 5")
    random = np.random.default_rng([seed, list(CORRUPTIONS).index(name), severity])
    corrupted = CORRUPTIONS[name](image_NHWC, severity - 1, random)
    return np.clip(corrupted, 0, 1).astype(np.float32)


def gaussian_noise(x: Images, level: int, random: np.random.Generator) -> Float:
    """Adds N(0, σ²)."""
    return x + random.normal(0, (0.04, 0.06, 0.08, 0.09, 0.10)[level], x.shape)


def shot_noise(x: Images, level: int, random: np.random.Generator) -> Float:
    """Poisson counts, with this many photons at full brightness."""
    photons = (500, 250, 100, 75, 50)[level]
    return random.poisson(x * photons) / photons


def impulse_noise(x: Images, level: int, random: np.random.Generator) -> Float:
    """This share of the values becomes 0 or 1, with equal probability."""
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[level]
    chance = random.random(x.shape)
    return np.where(chance < share / 2, 0, np.where(chance < share, 1, x))


def defocus_blur(x: Images, level: int, _random: np.random.Generator) -> Float:
    """The mean over a disc. Its radius gives it the variance of the benchmark's sampled kernels."""
    radius = (0.57, 0.92, 1.15, 1.26, 1.63)[level] * _scale(x)
    row, column = (part.ravel() for part in np.meshgrid(*2 * [np.linspace(-radius, radius, 31)]))
    return _convolved(x, _kernel(row, column, np.hypot(row, column) <= radius))


def motion_blur(x: Images, level: int, random: np.random.Generator) -> Float:
    """A streak in a random direction per image: weights fall like a Gaussian along one side of a line."""
    length, sigma = ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))[level]
    along = np.linspace(0, length * _scale(x), 50)
    weight = np.exp(-0.5 * (along / (sigma * _scale(x))) ** 2)
    angles = random.uniform(-np.pi / 4, np.pi / 4, len(x))
    kernels = [_kernel(along * np.sin(angle), along * np.cos(angle), weight) for angle in angles]
    return np.concatenate([_convolved(one[None], kernel) for one, kernel in zip(x, kernels, strict=True)])


def brightness(x: Images, level: int, _random: np.random.Generator) -> Float:
    """Adds to the value of hue, saturation and value: colours brighten and keep their hue and saturation."""
    value = x.max(axis=-1, keepdims=True)
    brighter = np.minimum(value + (0.05, 0.10, 0.15, 0.20, 0.30)[level], 1)
    found: Float = np.where(value > 0, x * brighter / np.maximum(value, 1e-8), brighter)
    return found


def contrast(x: Images, level: int, _random: np.random.Generator) -> Float:
    """Deviations from the mean of an image's channel shrink by this factor."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    found: Float = mean + (x - mean) * (0.75, 0.5, 0.4, 0.3, 0.15)[level]
    return found


def pixelate(x: Images, level: int, _random: np.random.Generator) -> Float:
    """Downscaled by this factor with a box filter, and upscaled with the nearest neighbour."""
    factor = (0.95, 0.9, 0.85, 0.75, 0.65)[level]
    height, width = x.shape[1:3]
    small = max(1, round(width * factor)), max(1, round(height * factor))

    def blocks(channel: Float) -> Float:
        shrunk = Image.fromarray(channel).resize(small, Image.Resampling.BOX)
        return np.asarray(shrunk.resize((width, height), Image.Resampling.NEAREST))

    return np.stack([np.stack([blocks(channel) for channel in np.moveaxis(one, -1, 0)], axis=-1) for one in x])


def jpeg(x: Images, level: int, _random: np.random.Generator) -> Float:
    """Compressed at this quality and decompressed."""
    quality = (80, 65, 58, 50, 40)[level]

    def compressed(one: Float) -> Float:
        stream = io.BytesIO()
        whole = np.rint(one * 255).astype(np.uint8)
        Image.fromarray(whole[..., 0] if whole.shape[-1] == 1 else whole).save(stream, "JPEG", quality=quality)
        return np.asarray(Image.open(stream), np.float32).reshape(one.shape) / 255

    return np.stack([compressed(one) for one in x])


def elastic(x: Images, level: int, random: np.random.Generator) -> Float:
    """A random affine map of three points, then a smooth random displacement; edges are mirrored."""
    smooth = (0, 0.2, 0.06, 0.04, 0.03)[level]
    strength = (0, 0.05, 0.08, 0.10, 0.10)[level]
    corner = (0.08, 0.07, 0.06, 0.05, 0.03)[level]
    height, width = x.shape[1:3]
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij")).astype(float)  # (2, H, W)
    centre = np.array([height, width])[:, None, None] / 2
    points = np.array([[1, 1], [1, -1], [-1, -1]]) * min(height, width) / 3
    warped = np.empty_like(x)
    for number, one in enumerate(x):
        moved = points + random.uniform(-corner, corner, points.shape) * width
        affine = np.linalg.lstsq(np.c_[points, np.ones(3)], moved, rcond=None)[0]  # (3, 2)
        place = np.tensordot(affine[:2].T, grid - centre, 1) + affine[2][:, None, None] + centre
        if strength:
            noise = random.uniform(-1, 1, (2, height, width))
            place += (
                strength * width * np.stack([ndimage.gaussian_filter(n, smooth * width, mode="reflect") for n in noise])
            )
        for channel in range(x.shape[-1]):
            warped[number, ..., channel] = ndimage.map_coordinates(one[..., channel], place, order=1, mode="reflect")
    return warped


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "motion_blur": motion_blur,
    "brightness": brightness,
    "contrast": contrast,
    "pixelate": pixelate,
    "jpeg": jpeg,
    "elastic": elastic,
}


def _scale(x: Images) -> float:
    return float(x.shape[2] / _WIDTH)


def _kernel(row: Float, column: Float, weight: npt.ArrayLike) -> Float:
    """Weights at these places, in pixels from the centre, each shared between the four pixels around it."""
    reach = int(np.ceil(max(np.abs(row).max(), np.abs(column).max()))) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    for down, down_share in ((0, 1 - (row - top)), (1, row - top)):
        for right, right_share in ((0, 1 - (column - left)), (1, column - left)):
            np.add.at(kernel, (top + down + reach, left + right + reach), weight * down_share * right_share)
    found: Float = kernel / kernel.sum()
    return found


def _convolved(x: Images, kernel: Float) -> Images:
    found: Images = ndimage.convolve(x, kernel[None, :, :, None].astype(x.dtype), mode="reflect")
    return found
