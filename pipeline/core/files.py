"""Atomic writes: a killed process leaves the previous result or none, never part of one."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from pipeline.core.errors import ExpectedError
from pipeline.core.rank import is_first

MOST_JSON_BYTES = 256 * 2**20


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; what is written there is synced and renamed to `path` on success, removed on error.

    Of several processes only the first writes: what the others put there is removed. ExpectedError, before anything is
    written, where `path` cannot hold a file.
    """
    check_replaceable(path)
    if not is_first():
        with _scratch(path) as scratch:
            yield scratch / path.name
        return
    with _scratch(path) as scratch:
        partial = scratch / path.name
        yield partial
        _fsync(partial)
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    _fsync(path.parent)


def check_replaceable(path: Path) -> None:
    """ExpectedError where something stands at `path` that is no regular file: putting one in its place would destroy
    a device, a named pipe or a socket, which are there to be written into.

    A symbolic link is replaced itself: what it leads to may be one of many copies of DVC's cache.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file (a device, named pipe or socket)"
        raise ExpectedError(f"{path} is {kind}: name the file to write")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success its files are synced and it takes the place of `path`.

    Of several processes only the first writes, as above.
    """
    with _scratch(path) as scratch:
        partial = scratch / path.name
        partial.mkdir()
        yield partial
        if not is_first():
            return
        for file in sorted(partial.rglob("*")):
            _fsync(file)
        partial.chmod(0o777 & ~_umask())
        if path.exists():
            path.replace(scratch / "previous")
        partial.replace(path)
    _fsync(path.parent)


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A folder beside `path`, locked while it is in use, and removed afterwards unless the process is killed.

    What killed processes left of earlier ones is removed first. git and DVC ignore `*.partial`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial"))
    except FileNotFoundError as error:  # as in /proc
        raise ExpectedError(f"{path.parent} holds no files that are written there: name another place") from error
    try:
        with _open_folder(scratch) as descriptor:
            _lock(descriptor)
            yield scratch
    except Exception as error:
        error.add_note(f"while writing {path}")  # not every library names the file it failed on
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _remove_leftovers(path: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}\.partial")  # as mkdtemp makes them
    for scratch in path.parent.iterdir():
        if pattern.fullmatch(scratch.name) and scratch.is_dir():
            try:
                with _open_folder(scratch) as descriptor:
                    if _lock(descriptor):
                        shutil.rmtree(scratch)
            except FileNotFoundError:
                continue  # its own process has removed it meanwhile


@contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the lock was acquired. The system releases it when the process ends, however it ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # someone is writing there, or this file system has no locks: then leftovers stay
    return True


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically, as UTF-8."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` atomically as indented JSON; a NaN or an infinity is a ValueError, never written."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file, as `write_json` makes them.

    ValueError where it is not JSON, holds a NaN or an infinity, is nested too deeply, or is larger than
    `MOST_JSON_BYTES`: parsed, it takes up to ten times as much memory.
    """
    if path.stat().st_size > MOST_JSON_BYTES:
        raise ValueError(f"it is larger than {MOST_JSON_BYTES:,} bytes")
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number of JSON")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, or of the names and bytes of all files in a folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return sha256_of_list((sha256(file), file.relative_to(path).as_posix()) for file in files)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_list(entries: Iterable[tuple[str, str]]) -> str:
    """Of files by the digest and the name of each, in this order, listed as `sha256sum` does."""
    return hashlib.sha256("".join(f"{digest}  {name}\n" for digest, name in entries).encode()).hexdigest()


def _umask() -> int:
    # The only portable way to read the umask is to set it; stages are single-threaded when they write.
    mask = os.umask(0)
    os.umask(mask)
    return mask
