"""Records of finished stages: DVC may be killed after a stage finishes but before dvc.lock says so.

It would then rerun the stage, perhaps for hours. So the launcher records the outputs of a stage, and `workflow.repair`
adds to dvc.lock what DVC has missed, if nothing has changed since.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.files import read_json, write_json
from workflow.declared import DVC_YAML, declared_outs
from workflow.lock import KEPT
from workflow.times import Span, note_times

if TYPE_CHECKING:
    from workflow.dag import Stage

FOLDER = KEPT / "finished"
PARAMS = Path("params.yaml")

Listing = dict[str, list[int]]  # size in bytes and modification time (ns since 1970) by path


@dataclass(frozen=True)
class Finished:
    address: str
    started: int  # ns since 1970, by the clock of the file system
    files: Listing  # its outputs


def note_start(address: str) -> None:
    """Record the start of a stage, by the clock of the file system, and forget an earlier end."""
    write_json(_note(address), {})


def note_end(address: str) -> None:
    """Record that the stage has succeeded, with its output files, and for the mirror when it ran."""
    started, outs = _note(address).stat().st_mtime_ns, declared_outs(address)
    write_json(_note(address), {"started": started, "files": list_files(outs)})
    note_times(address, Span(started, _note(address).stat().st_mtime_ns), outs)


def read_finished() -> list[Finished]:
    """Stages that have succeeded and were not forgotten since."""
    notes = {str(path.relative_to(FOLDER)).removesuffix(".json"): read_json(path) for path in FOLDER.rglob("*.json")}
    return [Finished(address, note["started"], note["files"]) for address, note in notes.items() if note]


def forget(address: str) -> None:
    """Forget that the stage has finished: dvc.lock records it, or it no longer holds."""
    _note(address).unlink(missing_ok=True)


def still_holds(finished: Finished, stage: "Stage") -> bool:
    """Whether a rerun would give the same outputs, and all of them are present.

    No dependency, nor params.yaml or dvc.yaml, has changed since it started, by ctime, which cannot be set back; and
    the outputs have the sizes and times they had at the end of the stage.
    """
    if list_files(stage.outs) != finished.files:
        return False
    read = [*stage.deps, str(PARAMS), str(DVC_YAML)]
    try:
        return all(path.stat().st_ctime_ns < finished.started for path in _below(read))
    except FileNotFoundError:
        return False


def list_files(paths: Iterable[str]) -> Listing:
    """All files at and below these paths. A missing path has none, and so differs from an existing one."""
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
