"""A study of images drafted from their archive or folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.bayes_moe.data.cifar import read_cifar
from pipeline.bayes_moe.data.idx import idx_files, read_idx
from pipeline.bayes_moe.data.image_file import SUFFIXES
from pipeline.bayes_moe.data.image_folder import TEST_SHARE, files_of_classes
from pipeline.bayes_moe.params.system import BayesMoe
from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted
from pipeline.data.file_kind import file_kind
from pipeline.params.draft import Draft

ARCHIVES = (".tar.gz", ".tgz", ".tar")
LOOKED_AT = 50  # images of a folder whose size is looked at
LARGEST = 64  # pixels, of the side that images are brought to without being asked
DIGITS = "data/embedded/digits.yaml"
PHOTOGRAPHS = "data/embedded/photographs.yaml"


def recognise(paths: tuple[Path, ...], _: Mapping[str, Any]) -> str | None:
    """Why these are images; None where they are not."""
    if len(paths) != 1:
        return None
    kind = file_kind(paths[0])
    if kind in ("gzip", "tar") and paths[0].name.lower().endswith(ARCHIVES):
        return "an archive, as those of CIFAR"
    if kind == "folder" and idx_files(paths[0]):
        return "files in IDX format, as those of MNIST"
    if kind == "folder" and any(path.suffix.lower() in SUFFIXES for path in paths[0].rglob("*")):
        return "a folder of images"
    return None


def propose(paths: tuple[Path, ...], draft: Draft, shared: BayesMoe) -> None:
    """Draft all that a study needs and that its data decide. ExpectedError where the images cannot be used."""
    if len(paths) != 1:
        raise ExpectedError("images lie in one folder, or in one archive: name that")
    (path,) = paths
    draft.decide("ingest.path", str(path), "")
    idx = file_kind(path) == "folder" and bool(idx_files(path))
    if file_kind(path) == "folder" and not idx:
        train, test, grey = _folder(draft, path)
    else:
        source, name = (read_idx(path), "IDX") if idx else (read_cifar(path), "CIFAR")
        train, test, grey = len(source.splits["train"].label_N), len(source.splits["test"].label_N), idx
        sizes = f"{train:,} training and {test:,} test images"
        draft.data = f"{path.name}: {name}, {sizes}, {len(source.classes)} classes"
    other, why = (PHOTOGRAPHS, "photographs") if grey else (DIGITS, "handwritten digits")
    draft.decide("ingest_ood.path", other, f"out-of-distribution images: {why}, which the project has; better your own")
    recipe = shared.sweep.recipe
    if test < recipe.corrupted_pictures:
        draft.decide("sweep.recipe.corrupted_pictures", test, "all test images")
    if train < 2 * recipe.batch_size:
        draft.decide("sweep.recipe.batch_size", max(2, train // 4), f"there are {counted(train, 'training image')}")


def _folder(draft: Draft, path: Path) -> tuple[int, int, bool]:
    """Training and test images, and whether they are grey."""
    splits = files_of_classes(path)
    files = {split: [file for found in classes.values() for file in found] for split, classes in splits.items()}
    train = len(files["train"])
    test = len(files["test"]) if "test" in files else round(TEST_SHARE * train)
    train -= 0 if "test" in files else test
    every = [file for found in files.values() for file in found]
    sample = [every[place] for place in np.linspace(0, len(every) - 1, min(LOOKED_AT, len(every))).astype(int)]
    sides, modes = [], set()
    for file in sample:
        try:
            with Image.open(file) as image:
                sides.append(max(image.size))
                modes.add(image.mode)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ExpectedError(f"{file} is no readable image: {error}") from error
    side = int(np.median(sides))
    size = max(4, min(side, LARGEST))
    why = f"they have {side} pixels a side" + (", which are brought to fewer: more cost more" if size < side else "")
    draft.decide("ingest.size", size, why)
    classes = counted(len(splits["train"]), "class").removesuffix("s").replace("class", "classes")
    draft.data = f"{path.name}: a folder of {train:,} training and {test:,} test images, {classes}"
    return train, test, modes <= {"1", "L", "LA", "I", "I;16"}
