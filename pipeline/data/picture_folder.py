"""Any folder of pictures: one sub-folder of each split, in it one of each class, in that the files.

    cats/train/tabby/1.png    cats/test/tabby/7.jpg

Without folders `train` and `test` the classes lie in the folder itself, and a share of each becomes the test set.
"""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.data.pictures import SPLITS, Pictures, PictureSource, split_by_class
from pipeline.errors import ExpectedError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
TEST_SHARE = 0.2


def read_picture_folder(folder: Path, size: int, seed: int = 0) -> PictureSource:
    """All pictures, as colours, brought to `size` x `size` pixels.

    Of a picture that is not square the middle is taken. ExpectedError where there is no folder, fewer than two classes,
    a class without pictures, a class of one split that the other lacks, or a file that is no readable picture.
    """
    if not folder.is_dir():
        raise ExpectedError(f"there is no folder {folder}")
    parts = {split: folder / split for split in SPLITS}
    if all(part.is_dir() for part in parts.values()):
        names = {split: _classes(part) for split, part in parts.items()}
        if names["train"] != names["test"]:
            lacking = sorted(set(names["train"]) ^ set(names["test"]))
            raise ExpectedError(f"{folder}: train and test have different classes; in one only: {', '.join(lacking)}")
        splits = {split: _read(part, names[split], size) for split, part in parts.items()}
        return PictureSource(splits, names["train"])
    classes = _classes(folder)
    whole = _read(folder, classes, size)
    count = np.bincount(whole.label_N, minlength=len(classes))
    if count.min() < 2:
        few = classes[int(count.argmin())]
        raise ExpectedError(f"{folder}: class {few!r} has one picture; a training and a test set need one each")
    train, test = split_by_class(whole, TEST_SHARE, seed)
    return PictureSource({"train": train, "test": test}, classes)


def _classes(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        found = f"one, {names[0]!r}" if names else "none"
        raise ExpectedError(f"{folder} should hold a sub-folder for each class, two at least; it has {found}")
    return names


def _read(folder: Path, classes: list[str], size: int) -> Pictures:
    pictures, labels = [], []
    for code, name in enumerate(classes):
        files = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise ExpectedError(f"{folder / name} has no picture ({', '.join(SUFFIXES)})")
        pictures += [_picture(path, size) for path in files]
        labels += [code] * len(files)
    return Pictures(np.stack(pictures), np.array(labels, np.int64))


def _picture(path: Path, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        with Image.open(path) as image:
            colours = image.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ExpectedError(f"{path} is no readable picture: {error}; mend or remove it") from None
    side = min(colours.size)
    left, top = ((whole - side) // 2 for whole in colours.size)
    square = colours.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.BOX if side > size else Image.Resampling.BILINEAR))
