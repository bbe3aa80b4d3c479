"""The jobs of this checkout in SLURM's queue, and notes of them on the file system that all nodes share.

A job is a stage's, and a stage has one job at a time. The standard library alone: see `workflow.slurm`.
"""

import json
import math
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(".snakemake/slurm")
STAGES = FOLDER / "stages"  # by address, the id of the last job of a stage
JOBS = FOLDER / "jobs"  # by id, the address of its stage
ENDED = FOLDER / "ended"  # by address, id and exit code: written by the job at its end
QUEUE = FOLDER / "queue.json"  # of SLURM's last answer, so that not every job's status asks it again
SUBMITTING = "submitting"  # in place of an id
PREFIX = "celldag:"  # of a job's name
ANSWER_SECONDS = 60

# States that a job does not leave any more; `squeue` shows them for some minutes (MinJobAge).
OVER = frozenset(
    [
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
        *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    ]
)
ENDING = "COMPLETING"  # its processes are being ended


class NoAnswerError(Exception):
    """SLURM's controller does not answer; what its program says."""


@dataclass(frozen=True)
class Job:
    id: str
    address: str
    state: str
    reason: str  # why it waits, or what ended it
    limit: str  # of its time
    nodes: str

    @property
    def is_over(self) -> bool:
        return self.state in OVER


def name_of(address: str) -> str:
    """The name of a stage's job, which `squeue` shows."""
    return f"{PREFIX}{address}"


def ask(*command: str) -> str:
    """What a program of SLURM prints. NoAnswerError where it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswerError(str(error)) from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise NoAnswerError(said or f"{command[0]} ended with {done.returncode}")
    return done.stdout


def ask_queue() -> dict[str, Job]:
    """Jobs of this checkout by id, those that have just ended too, asked now."""
    fields = "%i\t%T\t%r\t%l\t%N\t%Z\t%j"
    jobs = {}
    for line in ask("squeue", "--noheader", "--states=all", f"--user={os.getuid()}", f"--format={fields}").splitlines():
        values = line.split("\t", fields.count("\t"))
        if values[5:6] == [str(Path.cwd())] and values[6].startswith(PREFIX):
            identifier, state, reason, limit, nodes, _, name = values
            jobs[identifier] = Job(identifier, name.removeprefix(PREFIX), state, reason, limit, nodes)
    return jobs


def state_in_accounts(identifier: str) -> str | None:
    """The state of a job that the controller has forgotten; None where there are no accounts, or they do not know."""
    try:
        said = ask("sacct", "--noheader", "--parsable2", "--allocations", "--format=State", f"--jobs={identifier}")
    except NoAnswerError:
        return None
    return said.split()[0] if said.split() else None  # CANCELLED by 0


@dataclass(frozen=True)
class Answer:
    """What is known of SLURM's last answer."""

    age: float  # seconds since it was asked; infinite at the beginning
    was_away: bool  # it did not answer
    reasons: dict[str, str]  # why each job waits, by id


def read_answer() -> Answer:
    """What `keep_answer` kept."""
    try:
        kept = json.loads(QUEUE.read_text(encoding="utf-8"))
        return Answer(abs(time.time() - kept["kept"]), kept["was_away"], kept["reasons"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return Answer(math.inf, False, {})


def keep_answer(reasons: dict[str, str], was_away: bool = False) -> None:
    """Keep an answer, for the status of all jobs."""
    _write(QUEUE, json.dumps({"kept": time.time(), "was_away": was_away, "reasons": reasons}))


def clock() -> int:
    """Now, by the clock of the file system (ns)."""
    path = FOLDER / "clock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b" ")
    return path.stat().st_mtime_ns


def note_submission(address: str) -> None:
    """Note that a stage is to have another job, which is found by its name should this process be killed."""
    _write(STAGES / address, SUBMITTING)


def note_job(identifier: str, address: str) -> None:
    """Note that a job is a stage's last."""
    _write(STAGES / address, identifier)
    _write(JOBS / identifier, address)


def note_end(identifier: str, address: str, code: int) -> None:
    """Note the end of a job that could not do so itself."""
    _write(ENDED / address, f"{identifier} {code}")


def address_of(identifier: str) -> str:
    """The stage of a job that was noted."""
    return (JOBS / identifier).read_text(encoding="utf-8")


def noted_at(identifier: str) -> int:
    """When the job was noted, by the clock of the file system (ns)."""
    return (JOBS / identifier).stat().st_mtime_ns


def last_job(address: str) -> str | None:
    """Id of the last job of a stage that was noted."""
    try:
        return (STAGES / address).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def exit_code(identifier: str, address: str) -> int | None:
    """What a job left at its end; None as long as it runs, or where it was killed."""
    try:
        job, code = (ENDED / address).read_text(encoding="utf-8").split()
    except (FileNotFoundError, ValueError):
        return None
    return int(code) if job == identifier else None


def unended() -> list[str]:
    """Stages whose last job has left no exit code: it waits or runs, or was killed."""
    return [address for address, job in _last_jobs().items() if exit_code(job, address) is None]


def jobs_left(also_ending: bool = False) -> list[Job]:
    """Jobs of this checkout that wait or run, whichever call has submitted them; SLURM is asked where one might."""
    if shutil.which("squeue") is None or not unended():
        return []
    return [job for job in ask_queue().values() if not job.is_over and (also_ending or job.state != ENDING)]


def forget_old_jobs() -> None:
    """Note the end of jobs that were killed when no Snakemake ran, and drop the notes of those that are no stage's
    last."""
    jobs = ask_queue() if unended() else {}
    for address in unended():
        identifier = last_job(address) or ""
        if identifier not in jobs or jobs[identifier].is_over:
            note_end(identifier, address, 1)
    last = set(_last_jobs().values())
    for path in JOBS.glob("*"):
        if path.name not in last:
            path.unlink(missing_ok=True)


def _last_jobs() -> dict[str, str]:
    """Id of the last job by the address of its stage."""
    files = [path for path in sorted(STAGES.rglob("*")) if path.is_file() and path.suffix != ".partial"]
    return {str(path.relative_to(STAGES)): path.read_text(encoding="utf-8") for path in files}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
