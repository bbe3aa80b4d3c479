"""Hashes of files and folders as DVC takes them, without DVC."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

FOLDER = ".dir"  # suffix of the hash of a folder


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def folder_hash(folder: str, md5s: Mapping[str, str]) -> str:
    """The hash that DVC gives a folder with these files: the MD5 of the sorted JSON list of them."""
    listed = [{"md5": md5, "relpath": Path(file).relative_to(folder).as_posix()} for file, md5 in md5s.items()]
    return md5_of(json.dumps(sorted(listed, key=lambda entry: entry["relpath"])).encode()) + FOLDER


def files_below(folder: str) -> dict[str, str]:
    """The files of a folder in the working tree with their MD5, relative to the project's root."""
    return {file.as_posix(): md5_of_file(file) for file in sorted(Path(folder).rglob("*")) if file.is_file()}


def hash_here(path: str) -> str:
    """The hash of what is at `path` in the working tree. FileNotFoundError where nothing is."""
    return folder_hash(path, files_below(path)) if Path(path).is_dir() else md5_of_file(Path(path))
