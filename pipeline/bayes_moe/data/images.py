"""Labelled images: what ingest makes of every source, and their files.

N: images, H, W: pixels, C: channels, 1 or 3. Values are bytes, or 16 bits where grey images have more than 8.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.core.errors import ExpectedError

Values = npt.NDArray[np.unsignedinteger[Any]]  # of 8 or 16 bits


class Images(NamedTuple):
    """Images with their classes; 0 is black."""

    image_NHWC: Values
    label_N: npt.NDArray[np.int64]

    @property
    def white(self) -> int:
        """The value of white."""
        return int(np.iinfo(self.image_NHWC.dtype).max)

    def select(self, rows: npt.NDArray[np.int64]) -> "Images":
        """These rows, in this order."""
        return Images(self.image_NHWC[rows], self.label_N[rows])


class ImageSource(NamedTuple):
    """Splits by name, and the names of the classes, which labels index.

    splits: train and test, and validation where the source has such a set of its own; notes: what a user should know.
    """

    splits: dict[str, Images]
    classes: list[str]
    notes: tuple[str, ...] = ()


def split_by_class(whole: Images, share: float, seed: int) -> tuple[Images, Images]:
    """All but a share of every class, and that share, at random; rows of both in their old order.

    Of a class of two or more, both parts have at least one.
    """
    random = np.random.default_rng(seed)
    taken = []
    for label in np.unique(whole.label_N):
        rows = random.permutation(np.flatnonzero(whole.label_N == label))
        taken.append(rows[: min(max(1, round(share * len(rows))), len(rows) - 1)])
    chosen = np.sort(np.concatenate(taken))
    return whole.select(np.setdiff1d(np.arange(len(whole.label_N)), chosen)), whole.select(chosen)


def training_and_validation(folder: Path, share: float, seed: int) -> tuple[Images, Images]:
    """The training and validation images; the latter are the source's own, or else a share of its training images.

    folder: what ingest wrote; ExpectedError as `read_images`.
    """
    train = read_images(folder / "train")
    if (folder / "validation").is_dir():
        return train, read_images(folder / "validation")
    return split_by_class(train, share, seed)


def fitted(image_NHWC: Values, shape: tuple[int, ...]) -> Values:
    """Images brought to another (H, W, C): the mean or a bilinear blend of what a pixel covers; grey from luminance.

    ITU-R BT.601 luminance, as Pillow has it.
    """
    if image_NHWC.shape[1:] == shape:
        return image_NHWC
    height, width, channels = shape
    smaller = height <= image_NHWC.shape[1] and width <= image_NHWC.shape[2]
    how = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    fitted_NHWC = np.empty((len(image_NHWC), *shape), image_NHWC.dtype)
    for one, into in zip(image_NHWC, fitted_NHWC, strict=True):
        if one.dtype == np.uint16:  # grey, which Pillow resizes as floats
            resized = Image.fromarray(one[..., 0].astype(np.float32)).resize((width, height), how)
            into[:] = np.rint(np.asarray(resized))[..., None]
            continue
        image = Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one)
        image = image.convert("L" if channels == 1 else "RGB").resize((width, height), how)
        into[:] = np.asarray(image).reshape(shape)
    return fitted_NHWC


def write_images(folder: Path, images: Images) -> None:
    """Two plain .npy files in `folder`."""
    folder.mkdir(parents=True)
    np.save(folder / "pictures.npy", images.image_NHWC, allow_pickle=False)
    np.save(folder / "labels.npy", images.label_N, allow_pickle=False)


def read_images(folder: Path) -> Images:
    """What `write_images` wrote. ExpectedError where it is not there or damaged."""
    study = folder.parent.name
    stage = f"ingest_ood@{study}" if folder.parent.parent.name == "bayes_moe_ood" else f"ingest@bayes_moe-{study}"
    try:
        return Images(*(np.load(folder / name, allow_pickle=False) for name in ("pictures.npy", "labels.npy")))
    except FileNotFoundError as error:
        raise ExpectedError(f"{error.filename} not found: `dvc repro {stage}` makes it") from error
    except (ValueError, EOFError) as error:
        again = f"dvc repro --force {stage}"
        raise ExpectedError(f"{folder} holds a damaged file: {error}: `{again}` makes it anew") from error
