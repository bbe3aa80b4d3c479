"""The kind of a file by its first bytes, not its name; files that no reader could use are refused here."""

import errno
import shlex
import stat
from pathlib import Path
from typing import Literal

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import closest

Kind = Literal["folder", "zarr", "hdf5", "gzip", "zip", "bzip2", "xz", "zstd", "7z", "tar", "other"]

HEAD = 4096  # bytes looked at
_ZARR_NAMES = ("zarr.json", ".zgroup", ".zarray")  # one of them is in every zarr store
_SIGNATURES: tuple[tuple[bytes, int, Kind], ...] = (
    *((b"\x89HDF\r\n\x1a\n", offset, "hdf5") for offset in (0, 512, 1024, 2048)),  # a user block may come first
    (b"\x1f\x8b", 0, "gzip"),
    (b"PK\x03\x04", 0, "zip"),
    (b"PK\x05\x06", 0, "zip"),  # an empty one
    (b"BZh", 0, "bzip2"),
    (b"\xfd7zXZ\x00", 0, "xz"),
    (b"\x28\xb5\x2f\xfd", 0, "zstd"),
    (b"7z\xbc\xaf\x27\x1c", 0, "7z"),
    (b"ustar", 257, "tar"),
)
_UNPACK: dict[Kind, str] = {
    "gzip": "gunzip --keep",
    "zip": "unzip",
    "bzip2": "bunzip2 --keep",
    "xz": "unxz --keep",
    "zstd": "zstd --decompress",
    "7z": "7z x",
    "tar": "tar --extract --file",
}
_SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def file_kind(path: Path) -> Kind:
    """The kind of a file or folder; "other" for a file of any kind not listed here.

    Never blocks: pipes and devices are refused without being opened. ExpectedError: the path does not exist, is a loop
    of links, is no regular file or empty, or holds a placeholder (Git LFS pointer, web page). A missing permission is
    an OSError.
    """
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        return "zarr" if any((path / name).is_file() for name in _ZARR_NAMES) else "folder"
    for is_such, what in _SPECIAL:
        if is_such(mode):
            raise ExpectedError(f"{path} is {what}: name a file that can be read from its start more than once")
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    _refuse_stand_in(path, head)
    for signature, offset, kind in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return kind
    return "other"


def is_recipe(path: Path) -> bool:
    """Whether the name is that of a recipe of simulated data."""
    return path.suffix.lower() in (".yaml", ".yml")


def unpacking(path: Path, kind: Kind) -> str | None:
    """The one line that unpacks a file of this kind; None where there is nothing to unpack."""
    return f"{_UNPACK[kind]} {shlex.quote(str(path))}" if kind in _UNPACK else None


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except ValueError as error:
        raise ExpectedError(f"{str(path)!r} cannot be the path of a file: {error}") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ExpectedError(f"{path} is a loop of symbolic links: point it at the file") from error
        if error.errno == errno.ENAMETOOLONG:
            raise ExpectedError(f"{str(path)[:80]}... is longer than a path may be: check it") from error
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        if path.is_symlink():
            raise ExpectedError(
                f"{path} is a link to {path.readlink()}, which is not there: correct the link"
            ) from error
        raise ExpectedError(f"{path} not found: {_advice_for_missing(path)}") from error


def _advice_for_missing(path: Path) -> str:
    if path.with_name(f"{path.name}.dvc").is_file():
        return f"DVC tracks it, fetch it with dvc pull {shlex.quote(str(path))}"
    beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    close = closest(path.name, beside)
    meant = f" (perhaps {path.with_name(close[0])})" if close else ""
    return f"check the path{meant}, which is relative to the project's root, or put the file there"


def _refuse_stand_in(path: Path, head: bytes) -> None:
    if not head:
        raise ExpectedError(f"{path} is empty: fetch or write it again")
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        raise ExpectedError(f"{path} is a Git LFS pointer, not the file itself: fetch the file with git lfs pull")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<!--")) or (text.startswith(b"<?xml") and b"<error>" in text):
        raise ExpectedError(
            f"{path} is a page of the web, such as a login or error page saved in the file's place: open its address "
            "in a browser to see what it says, and fetch the file itself"
        )
