"""After a kill: repair DVC's own files and record finished stages, before DVC reads the project."""

import json
from dataclasses import dataclass
from typing import Any

import psutil

from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_text
from workflow.dag import Stage, has_hardlink_locks, read_stages, read_status, record
from workflow.finished import Finished, forget, read_finished, still_holds
from workflow.kubernetes_queue import stages_left
from workflow.lock import DVC_FOLDER, held, repair_lock
from workflow.slurm_queue import NoAnswerError, jobs_left, unended

BUSY_PATHS = DVC_FOLDER / "rwlock"  # JSON of paths in use by DVC processes, which DVC writes in place
BUSY_LOCK = DVC_FOLDER / "rwlock.lock"  # held while one writes it


@dataclass(frozen=True)
class Repaired:
    stages: list[Stage]
    status: dict[str, list[Any]]  # from `read_status`
    done: list[str]  # a message per repair


def repair() -> Repaired:
    """Repair what is possible, and read the project. ExpectedError if DVC cannot read it, or another DVC is running;
    ExpectedError if it locks in a way that survives kills."""
    if has_hardlink_locks():
        raise ExpectedError(
            "core.hardlink_lock is set for DVC: such a lock stays when its holder is killed, so nothing would go on "
            "after a kill. Call `dvc config --unset core.hardlink_lock`; the file system must have flock, as NFS 4 does"
        )
    elsewhere = _stages_elsewhere()
    # What these hold in DVC's list of busy paths is not to be told from what killed processes have left.
    done = [line for line in (repair_lock(), None if elsewhere else repair_busy_paths()) if line]
    stages, status = read_stages(), read_status(at_work=bool(elsewhere))
    ended = [finished for finished in read_finished() if finished.address not in elsewhere]  # others' DVC is at it
    recorded = _record_finished(ended, stages, status)
    if recorded:
        done.append(f"recorded stages that had finished when DVC was killed: {', '.join(recorded)}")
        status = read_status(at_work=bool(elsewhere))
    repair_lock()  # keeps a copy that includes what is forgotten now
    for finished in ended:
        forget(finished.address)
    return Repaired(stages, status, done)


def repair_busy_paths() -> str | None:
    """Remove entries of killed processes from DVC's list of busy paths; a message on what was done, or None.

    DVC itself removes entries of processes that are gone, but it cannot read a truncated list, nor detect reused
    process ids and zombies.
    """
    with held(BUSY_LOCK):
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
            return f"removed {BUSY_PATHS}, damaged by a kill"
        if all(kept[how] == busy.get(how, {}) for how in kept):
            return None
        write_text(BUSY_PATHS, json.dumps(kept))
        return f"removed entries of killed processes from {BUSY_PATHS}"


def _stages_elsewhere() -> set[str]:
    """Stages whose jobs run in a cluster; all that may, where it does not answer."""
    try:
        in_slurm = {job.address for job in jobs_left(also_ending=True)}
    except NoAnswerError:
        in_slurm = set(unended())
    return in_slurm | stages_left()


def _is_alive(pid: int, since: float) -> bool:
    """Whether the process that had this id at a time (seconds since 1970) is still running."""
    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= since)
    except psutil.NoSuchProcess:
        return False


def _record_finished(ended: list[Finished], stages: list[Stage], status: dict[str, list[Any]]) -> list[str]:
    """Record finished stages that DVC calls changed although nothing has changed since; returns their addresses.

    All are checked before the first is recorded: DVC may touch the outputs of one, which are deps of another.
    """
    finished = {end.address: end for end in ended}
    unrecorded = [stage for stage in stages if stage.address in finished and stage.address in status]
    holding = [stage.address for stage in unrecorded if still_holds(finished[stage.address], stage)]
    for address in holding:
        record(address)
    return holding
