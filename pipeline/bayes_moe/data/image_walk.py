"""The folders of an image data set: sub-folders, image files, and how much of the rest is skipped.

Links are followed, but a folder is entered once only: one that is reached twice could be in both training and test.
"""

import errno
import stat
from collections import defaultdict
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from pipeline.bayes_moe.data.image_file import SUFFIXES
from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted, listed

# What systems and programs put beside files of data, besides what begins with a dot.
_OF_SYSTEMS = {"__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information", "thumbs.db"}


class Skipped(Enum):
    """Why an item is skipped: what it is, and where or of which kind."""

    HIDDEN = ("hidden or system item", "")
    DANGLING = ("dangling link", "")
    OTHER = ("file", " of another kind")
    OUTSIDE = ("image", " outside the folders of classes")
    BESIDE = ("folder", " beside the splits")


class Entries(NamedTuple):
    """What a folder holds, by name."""

    folders: list[Path]
    images: list[Path]


class ImageWalk:
    """Looks into folders, into each once, and counts what it skips."""

    def __init__(self) -> None:
        self._entries: dict[Path, Entries] = {}
        self._reached: dict[tuple[int, int], Path] = {}
        self._skipped: dict[Skipped, list[str]] = defaultdict(list)

    def entries(self, folder: Path) -> Entries:
        """Visible sub-folders, and files with the suffix of an image in any case.

        ExpectedError where the folder is reached a second time, by a link, or where what is called an image is a pipe,
        a socket or a device.
        """
        if folder not in self._entries:
            self._reach(folder)
            self._entries[folder] = self._scan(folder)
        return self._entries[folder]

    def images(self, folder: Path) -> list[Path]:
        """All of a folder, at any depth."""
        found, ahead = [], [folder]
        while ahead:
            entries = self.entries(ahead.pop())
            found += entries.images
            ahead += entries.folders
        return sorted(found)

    def skip(self, why: Skipped, paths: list[Path]) -> None:
        """Count these among what is not read."""
        if paths:
            self._skipped[why] += [path.name for path in paths]

    def notes(self) -> list[str]:
        """How much was skipped, of each kind, with examples."""
        return [
            f"skipped {counted(len(names), why.value[0])}{why.value[1]}: {listed(sorted(set(names)), 3)}"
            for why, names in self._skipped.items()
        ]

    def _reach(self, folder: Path) -> None:
        found = folder.stat()
        first = self._reached.setdefault((found.st_dev, found.st_ino), folder)
        if first != folder:
            raise ExpectedError(f"{first} and {folder} are one folder, reached twice by a link: remove the link")

    def _scan(self, folder: Path) -> Entries:
        entries = Entries([], [])
        for path in sorted(folder.iterdir()):
            if of_system(path):
                self.skip(Skipped.HIDDEN, [path])
            elif (mode := _mode(path)) is None:
                self.skip(Skipped.DANGLING, [path])
            elif stat.S_ISDIR(mode):
                entries.folders.append(path)
            elif path.suffix.lower() not in SUFFIXES:
                self.skip(Skipped.OTHER, [path])
            elif stat.S_ISREG(mode):
                entries.images.append(path)
            else:
                raise ExpectedError(f"{path} is a pipe, a socket or a device, no image: remove it")
        return entries


def of_system(path: Path) -> bool:
    """Whether a system or a program put it there: hidden, such as macOS's `._` beside each file, or of its own name."""
    return path.name.startswith(".") or path.name.lower() in _OF_SYSTEMS


def _mode(path: Path) -> int | None:
    """None where a link leads to nothing, or to itself."""
    try:
        return path.stat().st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
