"""What a kill leaves of DVC's own files is mended, and stages that ended are recorded, before DVC is asked anything."""

import json
from dataclasses import dataclass
from typing import Any

import psutil

from pipeline.core.files import write_text
from workflow.dag import Stage, read_stages, read_status, record
from workflow.finished import forget, read_finished, still_holds
from workflow.lock import DVC_FOLDER, held, repair_lock

BUSY_PATHS = DVC_FOLDER / "rwlock"  # who reads and writes which paths of the project, as JSON


@dataclass(frozen=True)
class Repaired:
    stages: list[Stage]
    status: dict[str, list[Any]]  # as `read_status` gives it
    done: list[str]  # what was mended, a line each, for people


def repair() -> Repaired:
    """Mend what can be, and read the project. DagError: DVC cannot read it, or another DVC is at work on it."""
    done = [line for line in (repair_lock(), repair_busy_paths()) if line]
    stages, status = read_stages(), read_status()
    recorded = _record_finished(stages, status)
    if recorded:
        done.append(f"recorded what had ended when DVC was killed: {', '.join(recorded)}")
        status = read_status()
    repair_lock()  # keeps a copy, so that what is forgotten now is in it
    for finished in read_finished():
        forget(finished.address)
    return Repaired(stages, status, done)


def repair_busy_paths() -> str | None:
    """Remove from DVC's list of busy paths what killed processes left there; what was done, for people.

    DVC removes an entry whose process is gone by itself, but neither reads a list that was cut, nor notices that
    another process has got the number of a killed one, or that one is dead and not yet collected by its parent.
    """
    with held(BUSY_PATHS.with_name("rwlock.lock")):
        if not BUSY_PATHS.exists():
            return None
        written = BUSY_PATHS.stat().st_mtime
        try:
            busy = json.loads(BUSY_PATHS.read_text(encoding="utf-8"))
            kept = {
                "write": {path: by for path, by in busy.get("write", {}).items() if _is_alive(by["pid"], written)},
                "read": {
                    path: alive
                    for path, readers in busy.get("read", {}).items()
                    if (alive := [by for by in readers if _is_alive(by["pid"], written)])
                },
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            BUSY_PATHS.unlink()
            return f"removed {BUSY_PATHS}, which a kill had damaged"
        if all(kept[how] == busy.get(how, {}) for how in kept):
            return None
        write_text(BUSY_PATHS, json.dumps(kept))
        return f"removed from {BUSY_PATHS} what killed processes had left there"


def _is_alive(pid: int, since: float) -> bool:
    """Whether the process that had this number at a time (seconds since 1970) is still at work."""
    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= since)
    except psutil.NoSuchProcess:
        return False


def _record_finished(stages: list[Stage], status: dict[str, list[Any]]) -> list[str]:
    """Record the stages that DVC calls changed though they have ended and nothing has changed since; their addresses.

    All are looked at before the first is recorded: DVC may touch the outs of one, which are deps of another.
    """
    finished = {end.address: end for end in read_finished()}
    unrecorded = [stage for stage in stages if stage.address in finished and stage.address in status]
    holding = [stage.address for stage in unrecorded if still_holds(finished[stage.address], stage)]
    for address in holding:
        record(address)
    return holding
