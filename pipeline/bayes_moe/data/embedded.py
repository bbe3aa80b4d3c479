"""Real images that scikit-learn ships, so that the default run needs no network.

digits: 1,797 handwritten ones, 8x8 pixels in 17 shades, of 43 people; UCI "Optical recognition of handwritten digits"
(Alpaydin and Kaynak, 1998), its test part. So training and test images share writers.
photographs: one of a temple and one of a flower, in colour, in tiles of 32x32 pixels.
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from sklearn.datasets import load_digits, load_sample_images

from pipeline.bayes_moe.data.images import Images, ImageSource, split_by_class
from pipeline.params.reading import read_yaml, validated
from pipeline.params.section import Section, Seed

TILE = 32  # pixels


class Recipe(Section):
    """data/embedded/digits.yaml and photographs.yaml, where each key is explained."""

    collection: Literal["digits", "photographs"]
    test_share: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed


def read_embedded(path: Path) -> ImageSource:
    """The images of a recipe. ExpectedError where it is none."""
    recipe = validated(Recipe, read_yaml(path), str(path))
    whole, classes = digits() if recipe.collection == "digits" else photographs()
    train, test = split_by_class(whole, recipe.test_share, recipe.seed)
    return ImageSource({"train": train, "test": test}, classes)


def digits() -> tuple[Images, list[str]]:
    """(1797, 8, 8, 1), and the names of the ten classes."""
    bunch = load_digits()
    image_NHWC = np.rint(bunch.images * 255 / 16).astype(np.uint8)[..., None]
    return Images(image_NHWC, bunch.target.astype(np.int64)), [str(digit) for digit in range(10)]


def photographs() -> tuple[Images, list[str]]:
    """(520, 32, 32, 3), and the names of the two photographs; what is left over at the edges is not used."""
    bunch = load_sample_images()
    tiles = [_tiles(np.asarray(image, np.uint8)) for image in bunch.images]
    label_N = np.repeat(np.arange(len(tiles)), [len(part) for part in tiles])
    return Images(np.concatenate(tiles), label_N), [Path(name).stem for name in bunch.filenames]


def _tiles(
    image_HWC: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    down, right = image_HWC.shape[0] // TILE, image_HWC.shape[1] // TILE
    cut = image_HWC[: down * TILE, : right * TILE].reshape(down, TILE, right, TILE, -1)
    return np.ascontiguousarray(cut.swapaxes(1, 2).reshape(down * right, TILE, TILE, -1))
