"""Images from whatever a path names: a recipe (.yaml), a folder of classes or of files in IDX format, or a CIFAR
archive. One check for all."""

import hashlib
from pathlib import Path

import numpy as np

from pipeline.bayes_moe.data.cifar import read_cifar
from pipeline.bayes_moe.data.embedded import read_embedded
from pipeline.bayes_moe.data.idx import idx_files, idx_folders, is_idx_name, read_idx
from pipeline.bayes_moe.data.image_folder import read_image_folder
from pipeline.bayes_moe.data.images import ImageSource, write_images
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder, write_json
from pipeline.core.wording import listed
from pipeline.data.file_kind import file_kind, is_recipe

LONGEST_NAME = 255  # characters, of a class: what a folder can be called


def read_image_source(
    path: Path, size: int, md5: str | None, white_level: float | None = None, section: str = "bayes_moe.ingest"
) -> ImageSource:
    """Training and test images, and the names of the classes.

    size: pixels that the images of a folder of classes are brought to; md5: what the file's should be, checked first,
    None: not; white_level: the value of white in a folder's images of more than 8 bits, None: their type's; section: of
    params.yaml that says so.
    ExpectedError where the source cannot be read, is not the file that was expected, or has fewer than two classes.
    """
    if md5 is not None:
        _check(path, md5)
    kind = file_kind(path)
    if is_recipe(path):
        source = read_embedded(path)
    elif kind == "folder" and idx_files(path):
        source = read_idx(path)
    elif is_idx_name(path.name):
        raise ExpectedError(f"{path} is one of the files of a data set in IDX format: name their folder, {path.parent}")
    elif kind == "folder" and (below := idx_folders(path)):
        raise ExpectedError(
            f"{path} holds no images, but files of data sets in IDX format in {listed([str(one) for one in below])}: "
            f"name {'that folder' if len(below) == 1 else 'one of these folders'}"
        )
    elif kind == "folder":
        source = read_image_folder(path, size, white_level, f"{section}.white_level")
    else:
        source = read_cifar(path)
    for name in source.classes:
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise ExpectedError(
                f"{path} has a class {name[:40]!r}: a name has {LONGEST_NAME} characters at most, on one line"
            )
    for split, images in source.splits.items():
        found = np.unique(images.label_N)
        if len(found) < 2:
            raise ExpectedError(
                f"all {len(images.label_N):,} images of the {split} split of {path} are of one class, "
                f"{source.classes[int(found[0])]!r}: a classifier needs two"
            )
        unseen = np.setdiff1d(found, source.splits["train"].label_N)
        if len(unseen):
            raise ExpectedError(
                f"class {source.classes[int(unseen[0])]!r} of {path} has {split} images and no training images"
            )
    return source


def write_image_source(folder: Path, path: Path, source: ImageSource) -> str:
    """All of it or, on a problem, nothing: a folder for each split, and source.json. What is there, a line each."""
    train = source.splits["train"]
    height, width, channels = train.image_NHWC.shape[1:]
    depth = " of 16 bits" if train.white > 255 else ""
    count = np.bincount(train.label_N, minlength=len(source.classes))
    sizes = [
        f"{len(source.splits[split].label_N):,} {what}"
        for split, what in (("train", "training"), ("validation", "validation"), ("test", "test"))
        if split in source.splits
    ]
    description = (
        f"{path.name}: {', '.join(sizes[:-1])} and {sizes[-1]} images of {height} x {width} "
        f"pixels in {'grey' if channels == 1 else 'colour'}{depth}, {len(source.classes)} classes "
        f"({count.min():,} to {count.max():,} training images each)"
    )
    about = {"schema_version": 1, "kind": folder.name, "input": str(path), "description": description}
    with atomic_folder(folder) as partial:
        for split, images in source.splits.items():
            write_images(partial / split, images)
        write_json(partial / "source.json", {**about, "notes": source.notes, "classes": source.classes})
    return "\n".join([description, *(f"note: {note}" for note in source.notes)])


def _check(path: Path, md5: str) -> None:
    if not path.is_file():
        kind = "a folder, which has no MD5: set md5 to null" if path.is_dir() else "not there"
        raise ExpectedError(f"{path} is {kind}")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise ExpectedError(
            f"{path} has the MD5 {found}, expected {md5}: it is damaged or another file; fetch it again"
        )
