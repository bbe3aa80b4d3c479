"""Find a stage's outputs by their hash in dvc.lock: in the working tree, in git, or in the DVC cache.

Every file is checked against its hash, so a run never shows a result that its stage did not make, such as an edited
file or one from another commit.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from pipeline.core.errors import ExpectedError
from pipeline.tracking.revisions import file_at

FOLDER = ".dir"  # suffix of the hash of a folder


def copy_content(path: str, md5: str, commit: str, target: Path) -> bool:
    """Write the file with this MD5 to `target`; False if it is nowhere to be found.

    path: where the stage wrote it, relative to the project root; commit: where to look for it in git.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    source = _find(path, md5)
    if source is not None:
        shutil.copyfile(source, target)
        return True
    blob = file_at(commit, path)
    if blob is not None and hashlib.md5(blob, usedforsecurity=False).hexdigest() == md5:
        target.write_bytes(blob)
        return True
    return False


def link_folder(path: str, md5: str, commit: str, target: Path) -> bool:
    """Make `target` a folder with the content of this output, linked where possible; False if a file is missing."""
    files = files_of(path, md5)
    if files is None:
        return False
    for file, file_md5 in files.items():
        place = target / Path(file).relative_to(path)
        source = _find(file, file_md5)
        if source is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source.resolve())
        elif not copy_content(file, file_md5, commit, place):
            return False
    return True


def files_of(path: str, md5: str) -> dict[str, str] | None:
    """The files of an output with their MD5, relative to the project root; None if a folder's list is missing.

    A folder's hash is the MD5 of the JSON list of its files, which is in DVC's cache; an unchanged folder in the
    working tree gives the same list.
    """
    if not md5.endswith(FOLDER):
        return {path: md5}
    folder = Path(path)
    if folder.is_dir():
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        listed = [{"md5": _md5(file), "relpath": file.relative_to(folder).as_posix()} for file in files]
        listed.sort(key=lambda entry: entry["relpath"])
        if hashlib.md5(json.dumps(listed).encode(), usedforsecurity=False).hexdigest() + FOLDER == md5:
            return {f"{path}/{entry['relpath']}": entry["md5"] for entry in listed}
    cached = _cached(md5)
    if not cached.is_file():
        return None
    return {f"{path}/{entry['relpath']}": entry["md5"] for entry in json.loads(cached.read_text(encoding="utf-8"))}


def _find(path: str, md5: str) -> Path | None:
    """A local file with this content: in the working tree or, which requires starting DVC, in the cache."""
    if Path(path).is_file() and _md5(Path(path)) == md5:
        return Path(path)
    cached = _cached(md5)
    return cached if cached.is_file() and _md5(cached) == md5 else None


def _cached(md5: str) -> Path:
    return _cache_folder() / "files" / "md5" / md5[:2] / md5[2:]


@cache
def _cache_folder() -> Path:
    # From DVC, since a team may share a cache through `dvc cache dir` or the environment.
    asked = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise ExpectedError(f"`dvc cache dir` failed: {asked.stderr.strip() or 'no message'}")
    return Path(asked.stdout.strip())


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
