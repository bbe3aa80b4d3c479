"""Images in the IDX format of MNIST, Fashion-MNIST, KMNIST and EMNIST: a folder with a file of images and one of labels
for each split, as they are downloaded (.gz) or unpacked.

A file is two zero bytes, a byte for the type of its values (8: unsigned bytes) and one for the number of axes; then the
length of each axis, big-endian in four bytes; then the values, row by row. LeCun, Cortes and Burges, "The MNIST
database of handwritten digits" (1998). It has no names of classes: they are called as their labels.
"""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.bayes_moe.data.image_walk import of_system
from pipeline.bayes_moe.data.images import Images, ImageSource
from pipeline.core.errors import ExpectedError
from pipeline.core.wording import listed

LARGEST = 1 << 30  # bytes, unpacked: those of EMNIST have 547 MB, and a small archive can hold anything
_UNSIGNED_BYTES = 8
_TYPES = {9: "signed bytes", 11: "16-bit integers", 12: "32-bit integers", 13: "32-bit floats", 14: "64-bit floats"}
_SPLITS = {"train": "train", "t10k": "test", "test": "test", "val": "validation", "validation": "validation"}
_NAME = re.compile(
    rf"(?P<set>.*?)(?P<split>{'|'.join(_SPLITS)})-(?P<part>images|labels)[.-]idx\d-(ubyte|int)(?P<packed>\.gz)?",
    re.IGNORECASE,
)


class _Part(NamedTuple):
    set: str  # what names begin with, such as "emnist-letters-"
    split: str
    part: str  # images or labels


def is_idx_name(name: str) -> bool:
    """Whether a file is called like one of images or labels."""
    return _NAME.fullmatch(name) is not None


def idx_files(folder: Path) -> list[Path]:
    """Files in a folder that are called like those of images and labels, by name; not the hidden ones, such as `._`."""
    return sorted(
        path for path in folder.iterdir() if is_idx_name(path.name) and not of_system(path) and path.is_file()
    )


def idx_folders(folder: Path) -> list[Path]:
    """Folders in a folder that hold such files, as torchvision's `MNIST/raw` does in `MNIST`, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not of_system(path) and idx_files(path))


def read_idx(folder: Path) -> ImageSource:
    """Grey images of every split, in their own size.

    ExpectedError where a file is missing, damaged, of other values than bytes or larger than LARGEST, where images and
    labels are not equally many, or where a folder holds several data sets.
    """
    parts = _parts(folder)
    splits = {split: _split(parts, split) for split in dict.fromkeys(part.split for part in parts)}
    if lacking := {"train", "test"} - splits.keys():
        raise ExpectedError(
            f"{folder} has no images of the {lacking.pop()} split: files are called train-images-idx3-ubyte and "
            "t10k-images-idx3-ubyte, with .gz or without"
        )
    shapes = {split: images.image_NHWC.shape[1:3] for split, images in splits.items()}
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{split} {height} x {width}" for split, (height, width) in shapes.items())
        raise ExpectedError(f"the images of {folder} have different sizes: {said}")
    labels = np.unique(np.concatenate([images.label_N for images in splits.values()]))
    coded = {split: Images(one.image_NHWC, np.searchsorted(labels, one.label_N)) for split, one in splits.items()}
    return ImageSource(coded, [str(label) for label in labels])


def read_values(path: Path, axes: int) -> npt.NDArray[np.uint8]:
    """The values of one file of so many axes. ExpectedError as `read_idx`."""
    content = _content(path)
    head = 4 + 4 * axes
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ExpectedError(f"{path} is not in IDX format: it does not begin with two zero bytes; fetch it again")
    if content[2] != _UNSIGNED_BYTES:
        kind = _TYPES.get(content[2], f"type {content[2]}")
        raise ExpectedError(f"{path} holds {kind}: images and labels in IDX format are read as unsigned bytes only")
    if content[3] != axes:
        what = "images" if axes == 3 else "labels"
        raise ExpectedError(f"{path} has {content[3]} axes, where {what} have {axes}: it holds something else")
    shape = tuple(int(length) for length in np.frombuffer(content[4:head], ">u4")) if len(content) >= head else ()
    if not shape or len(content) - head != math.prod(shape) or 0 in shape:
        said = " x ".join(f"{length:,}" for length in shape) or "no"
        raise ExpectedError(
            f"{path} says that it holds {said} values, but has {max(len(content) - head, 0):,} bytes of them: it is "
            "truncated or damaged; fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def _parts(folder: Path) -> dict[_Part, Path]:
    found: dict[_Part, Path] = {}
    for path in idx_files(folder):  # the unpacked one of two comes first
        match = _NAME.fullmatch(path.name)
        assert match is not None
        found.setdefault(_Part(match["set"], _SPLITS[match["split"].lower()], match["part"].lower()), path)
    if len(sets := {part.set for part in found}) > 1:
        raise ExpectedError(
            f"{folder} holds several data sets, called {listed(sorted(f'{name}...' for name in sets))}: put the files "
            "of one into a folder of their own"
        )
    return found


def _split(parts: dict[_Part, Path], split: str) -> Images:
    (of,) = {part.set for part in parts}
    images, labels = (parts.get(_Part(of, split, part)) for part in ("images", "labels"))
    if images is None or labels is None:
        there, lacking = (labels, "images") if images is None else (images, "labels")
        raise ExpectedError(f"beside {there} there is no file of the {lacking} of the same split: put it there")
    image_NHW, label_N = read_values(images, 3), read_values(labels, 1)
    if len(image_NHW) != len(label_N):
        raise ExpectedError(f"{images} holds {len(image_NHW):,} images, but {labels} holds {len(label_N):,} labels")
    return Images(np.ascontiguousarray(image_NHW[..., None]), label_N.astype(np.int64))


def _content(path: Path) -> bytes:
    """All bytes, unpacked, whatever the name ends with."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ExpectedError(f"{path} cannot be unpacked: {error}; fetch it again") from None
    if len(content) > LARGEST:
        raise ExpectedError(f"{path} unpacks to more than {LARGEST:,} bytes, far more than such data sets have")
    return content
