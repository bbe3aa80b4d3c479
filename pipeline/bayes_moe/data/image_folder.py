"""A folder of images: a sub-folder per split, in it one per class, which holds the files.

    cats/train/tabby/1.png    cats/val/tabby/4.jpeg    cats/test/tabby/7.jpg

Without folders of splits the classes lie in the folder itself, and a share of each becomes the test set.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.bayes_moe.data.image_file import SUFFIXES, ImageReader
from pipeline.bayes_moe.data.image_walk import ImageWalk, Skipped
from pipeline.bayes_moe.data.images import Images, ImageSource, Values, split_by_class
from pipeline.core.errors import ExpectedError
from pipeline.core.wording import listed

TEST_SHARE = 0.2
_TIMES = 257  # a byte's value in 16 bits: 255 is 65535
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF = {name: split for split, names in SPLIT_NAMES.items() for name in names}
_LIKE_A_SPLIT = re.compile(rf"(?<![a-z])({'|'.join(_SPLIT_OF)})(set|data|images|imgs|split)?(?![a-z])")


def read_image_folder(
    folder: Path, size: int, white_level: float | None = None, parameter: str = "white_level", seed: int = 0
) -> ImageSource:
    """All images, brought to `size` x `size` pixels, as `ImageReader` does it: grey where all are, and in 16 bits where
    any of these has more than 8; else bytes of colours.

    Splits are known by the names in SPLIT_NAMES, in any case. A validation set without a test set is the test set.
    ExpectedError where there is no folder, its splits are not clear, fewer than two classes, a class without images,
    a class of one split that another lacks, a file that is no readable image, or a link to a folder that is read.
    """
    if not folder.is_dir():
        raise ExpectedError(f"there is no folder {folder}")
    walk, files = ImageWalk(), ImageReader(size, white_level, parameter)
    parts, notes = _splits(walk, folder)
    classes = {split: _classes(walk, part) for split, part in parts.items()}
    names = [path.name for path in classes["train"]]
    for split, paths in classes.items():
        lacking = sorted(set(names) ^ {path.name for path in paths})
        if lacking:
            raise ExpectedError(
                f"{folder}: {parts['train'].name} and {parts[split].name} have different classes; in one only: "
                f"{', '.join(lacking)}"
            )
    found = {split: _read(walk, files, paths) for split, paths in classes.items()}
    alike = _alike([image for images, _ in found.values() for image in images])
    splits = {
        split: Images(np.stack([alike(image) for image in images]), label_N)
        for split, (images, label_N) in found.items()
    }
    if "test" not in splits:
        whole = splits["train"]
        count = np.bincount(whole.label_N, minlength=len(names))
        if count.min() < 2:
            few = names[int(count.argmin())]
            raise ExpectedError(f"{folder}: class {few!r} has one image; a training and a test set need one each")
        splits["train"], splits["test"] = split_by_class(whole, TEST_SHARE, seed)
    return ImageSource(splits, names, (*notes, *walk.notes(), *files.notes(folder)))


def files_of_classes(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """The files of each class of each split, unread: what `read_image_folder` would read. ExpectedError as there."""
    walk = ImageWalk()
    parts, _ = _splits(walk, folder)
    return {split: {path.name: walk.images(path) for path in _classes(walk, part)} for split, part in parts.items()}


def _splits(walk: ImageWalk, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The folder of each split, and notes on how their names were read."""
    folders = walk.entries(folder).folders
    known = [path for path in folders if path.name.lower() in _SPLIT_OF]
    others = [path for path in folders if path not in known]
    alike = {path.name: _SPLIT_OF[match[1]] for path in others if (match := _LIKE_A_SPLIT.search(path.name.lower()))}
    parts = {_SPLIT_OF[path.name.lower()]: path for path in known}
    if len(known) == 1 and "train" in parts and others and not alike and not walk.entries(parts["train"]).folders:
        return {"train": folder}, [f"{parts['train'].name!r} is a class, like the folders beside it"]
    clear = (len(alike) < len(folders) or not folders) and len(set(alike.values())) < 2
    if not known and clear and not _hold_the_same_classes(walk, folders):
        return {"train": folder}, []
    if len(parts) < len(known) or alike or "train" not in parts or (len(parts) == 1 and others):
        expected = "; ".join(f"{split}: {', '.join(names)}" for split, names in SPLIT_NAMES.items())
        raise ExpectedError(
            f"{folder} holds {listed(path.name for path in folders)}: it is not clear which are splits and which are "
            f"classes. Name one folder of each split so ({expected}), with a folder for each class in it, and move or "
            "rename the others"
        )
    walk.skip(Skipped.BESIDE, others)
    walk.skip(Skipped.OUTSIDE, walk.entries(folder).images)
    if len(parts) == len(SPLIT_NAMES):
        return parts, [f"validation is {parts['validation'].name!r}, in place of a share of {parts['train'].name!r}"]
    if "test" in parts:
        return parts, []
    if "validation" in parts:
        note = f"without a test split, {parts['validation'].name!r} is the test set: validation is a share of train"
        return {"train": parts["train"], "test": parts["validation"]}, [note]
    return parts, [f"without a test split, {TEST_SHARE:.0%} of every class of {parts['train'].name!r} are the test set"]


def _hold_the_same_classes(walk: ImageWalk, folders: list[Path]) -> bool:
    """Whether all hold sub-folders of the same names, two at least: as splits of any name do, and classes do not."""
    inside = [{path.name for path in walk.entries(folder).folders} for folder in folders]
    if len(folders) < 2 or len(inside[0]) < 2 or any(names != inside[0] for names in inside):
        return False
    return not any(name.lower() in _SPLIT_OF for name in inside[0])  # those lie on the wrong side: `_read` says so


def _classes(walk: ImageWalk, folder: Path) -> list[Path]:
    folders, outside = walk.entries(folder)
    walk.skip(Skipped.OUTSIDE, outside)
    if len(folders) < 2:
        found = f"one, {folders[0].name!r}" if folders else "none"
        raise ExpectedError(f"{folder} should hold a sub-folder for each class, two at least; it has {found}")
    return folders


def _alike(images: list[Values]) -> Callable[[Values], Values]:
    """What brings each of these to the channels and the depth of all."""
    if not all((image == image[..., :1]).all() for image in images):
        return lambda image: image if image.dtype == np.uint8 else np.rint(image / _TIMES).astype(np.uint8).repeat(3, 2)
    if all(image.dtype == np.uint8 for image in images):
        return lambda image: image[..., :1]
    return lambda image: image if image.dtype == np.uint16 else image[..., :1].astype(np.uint16) * np.uint16(_TIMES)


def _read(walk: ImageWalk, files: ImageReader, classes: Iterable[Path]) -> tuple[list[Values], npt.NDArray[np.int64]]:
    paths, labels = [], []
    for code, folder in enumerate(classes):
        inside = [path.name for path in walk.entries(folder).folders]
        if len({_SPLIT_OF[name.lower()] for name in inside if name.lower() in _SPLIT_OF}) > 1:
            raise ExpectedError(
                f"{folder} holds {listed(inside)}, but splits lie above classes: rename {folder.name}/{inside[0]} to "
                f"{inside[0]}/{folder.name}, and so on"
            )
        found = walk.images(folder)
        if not found:
            notes = "; ".join(["", *walk.notes()])
            raise ExpectedError(f"{folder} has no image ({', '.join(SUFFIXES)}){notes}")
        paths += found
        labels += [code] * len(found)
    return [files.read(path) for path in paths], np.array(labels, np.int64)
