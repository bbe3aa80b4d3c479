"""Find a stage's outputs by their hash in dvc.lock: in the working tree, in git, or in the DVC cache.

Wherever a file is taken from, its bytes are compared with the hash, so a run never shows a result that its stage did
not make: neither a file edited by hand, nor one of another commit. (`dvc.api.DVCFileSystem` compares nothing in the
working tree and in git, and importing DVC costs half a second of CPU, which an idle `track` does not spend.)
"""

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from pipeline.core.errors import ExpectedError
from pipeline.tracking.revisions import file_at, files_at
from workflow.hashes import FOLDER, files_below, folder_hash, md5_of, md5_of_file


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
    if blob is not None and md5_of(blob) == md5:
        target.write_bytes(blob)
        return True
    return False


def link_folder(path: str, md5: str, commit: str, target: Path) -> bool:
    """Make `target` a folder with the content of this out, of links where possible; False where a file is lost."""
    files = files_of(path, md5, commit)
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


def files_of(path: str, md5: str, commit: str) -> dict[str, str] | None:
    """The files of an out with their MD5, relative to the project's root; None where a folder's list is lost.

    A folder's hash is the MD5 of the JSON list of its files. DVC keeps the list of a folder that it caches; one that is
    in git, or lies unchanged in the working tree, gives the same list.
    """
    if not md5.endswith(FOLDER):
        return {path: md5}
    if folder_hash(path, listed := files_below(path)) == md5:
        return listed
    cached = _cached(md5)
    if cached.is_file():
        return {f"{path}/{entry['relpath']}": entry["md5"] for entry in json.loads(cached.read_text(encoding="utf-8"))}
    blobs = {file: file_at(commit, file) for file in files_at(commit, path)}
    listed = {file: md5_of(blob) for file, blob in blobs.items() if blob is not None}
    return listed if folder_hash(path, listed) == md5 else None


def _find(path: str, md5: str) -> Path | None:
    """A local file with this content: in the working tree or, which requires starting DVC, in the cache."""
    if Path(path).is_file() and md5_of_file(Path(path)) == md5:
        return Path(path)
    cached = _cached(md5)
    return cached if cached.is_file() and md5_of_file(cached) == md5 else None


def _cached(md5: str) -> Path:
    return _cache_folder() / "files" / "md5" / md5[:2] / md5[2:]


@cache
def _cache_folder() -> Path:
    # From DVC, since a team may share a cache through `dvc cache dir` or the environment.
    asked = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise ExpectedError(f"`dvc cache dir` failed: {asked.stderr.strip() or 'no message'}")
    return Path(asked.stdout.strip())
