"""Stages that have ended well: between a stage's end and the line in dvc.lock that says so, DVC may be killed.

It would then run the stage again, for what may have taken hours. So a stage's launcher notes what it has made, and
what DVC has missed is recorded by `workflow.repair`, where nothing has changed since.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.files import read_json, write_json
from workflow.declared import DVC_YAML, declared_outs
from workflow.lock import KEPT

if TYPE_CHECKING:
    from workflow.dag import Stage

FOLDER = KEPT / "finished"
PARAMS = Path("params.yaml")

Listing = dict[str, list[int]]  # of each file, by path, its size in bytes and when it was written (ns since 1970)


@dataclass(frozen=True)
class Finished:
    address: str
    started: int  # ns since 1970, by the clock of the file system
    files: Listing  # all that it made


def note_start(address: str) -> None:
    """Forget an earlier end of the stage; what the file system calls now is when it started."""
    write_json(_note(address), {})


def note_end(address: str) -> None:
    """Note that the stage has ended well, and the files it has made."""
    started = _note(address).stat().st_mtime_ns
    write_json(_note(address), {"started": started, "files": list_files(declared_outs(address))})


def read_finished() -> list[Finished]:
    """The stages that have ended well since they were last forgotten."""
    notes = {str(path.relative_to(FOLDER)).removesuffix(".json"): read_json(path) for path in FOLDER.rglob("*.json")}
    return [Finished(address, note["started"], note["files"]) for address, note in notes.items() if note]


def forget(address: str) -> None:
    """Forget that the stage has ended: dvc.lock says it, or it no longer holds."""
    _note(address).unlink(missing_ok=True)


def still_holds(finished: Finished, stage: "Stage") -> bool:
    """Whether the stage would make the same again, and what it made is all there.

    No file that it depends on, nor params.yaml or dvc.yaml, has been touched since it started: a file's time of change
    (ctime) cannot be set back. What it made has the sizes and times that it had at the stage's end.
    """
    if list_files(stage.outs) != finished.files:
        return False
    read = [*stage.deps, str(PARAMS), str(DVC_YAML)]
    try:
        return all(path.stat().st_ctime_ns < finished.started for path in _below(read))
    except FileNotFoundError:
        return False


def list_files(paths: Iterable[str]) -> Listing:
    """All files at and below these paths. A path that does not exist has none, and so differs from one that did."""
    statuses = {str(path): path.lstat() for path in _below(paths) if path.is_symlink() or path.is_file()}
    return {path: [status.st_size, status.st_mtime_ns] for path, status in statuses.items()}


def _below(paths: Iterable[str]) -> Iterator[Path]:
    """The paths, and where they are folders everything in them."""
    for path in map(Path, paths):
        yield path
        if path.is_dir():
            yield from path.rglob("*")


def _note(address: str) -> Path:
    return FOLDER / f"{address}.json"
