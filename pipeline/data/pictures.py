"""Labelled pictures: what ingest makes of every source, and how they lie on the disk.

N: pictures, H, W: pixels, C: channels, 1 or 3.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "test")


class Pictures(NamedTuple):
    """Pictures with their classes."""

    picture_NHWC: npt.NDArray[np.uint8]
    label_N: npt.NDArray[np.int64]

    def select(self, rows: npt.NDArray[np.int64]) -> "Pictures":
        """These rows, in this order."""
        return Pictures(self.picture_NHWC[rows], self.label_N[rows])


class PictureSource(NamedTuple):
    """A training and a test set, and the names of the classes that labels are places in."""

    splits: dict[str, Pictures]
    classes: list[str]


def write_pictures(folder: Path, pictures: Pictures) -> None:
    """Two plain .npy files in `folder`."""
    folder.mkdir(parents=True)
    np.save(folder / "pictures.npy", pictures.picture_NHWC, allow_pickle=False)
    np.save(folder / "labels.npy", pictures.label_N, allow_pickle=False)


def read_pictures(folder: Path) -> Pictures:
    """What `write_pictures` wrote."""
    return Pictures(*(np.load(folder / name, allow_pickle=False) for name in ("pictures.npy", "labels.npy")))
