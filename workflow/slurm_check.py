"""What Snakemake looks at before its first job: SLURM, and what an earlier call has left in its queue."""

import fcntl
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.core.errors import ExpectedError
from workflow.dag import read_stages, read_status
from workflow.slurm import ALWAYS, environment, requests, write_programs
from workflow.slurm_queue import FOLDER, Job, NoAnswerError, ask, forget_old_jobs, jobs_left

PROGRAMS = ("sbatch", "squeue", "sinfo", "scancel")
PROFILE = "profiles/slurm/config.yaml"
LOCALLY = "or run on this machine: snakemake --cores all"
# With these a job waits for its turn, or for a node to come back. No other line is looked at: it may name a partition.
PASSING = re.compile(r"^allocation failure: .*(busy|down|drained|reserved|temporarily)", re.IGNORECASE | re.MULTILINE)
CHOSEN = re.compile(r"^sbatch: Job .* in partition (\S+)$", re.MULTILINE)  # by SLURM, where none was named
OF_ONE_MACHINE = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - only looked at


@dataclass(frozen=True)
class Partition:
    nodes: int
    takes_jobs: bool
    limit: str  # of a job's time, in SLURM's words


def refuse_edits() -> None:
    """ExpectedError where jobs wait or run, and parameters or code have changed since they were submitted.

    Their stages would be recorded with what they did not read.
    """
    jobs = _left()
    if not jobs:
        return
    status = read_status(at_work=True)
    if any(stage.gate and stage.address in status for stage in read_stages()):
        raise ExpectedError(
            f"parameters or code have changed, and jobs of an earlier call are in SLURM's queue ({_named(jobs)}): "
            f"wait until they have ended, or `scancel {' '.join(job.id for job in jobs)}`, and call again"
        )


def before_first_job(workflow: Any) -> None:
    """ExpectedError where a job could not run: none is submitted then. Does nothing for stages on this machine."""
    if workflow.executor_plugin.name != "cluster-generic":
        if jobs := _left():
            raise ExpectedError(
                f"jobs of an earlier call are in SLURM's queue ({_named(jobs)}): go on with "
                f"`snakemake --profile profiles/slurm`, or `scancel {' '.join(job.id for job in jobs)}` first"
            )
        return
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise ExpectedError(
            f"profiles/slurm: {', '.join(missing)} not found on {os.uname().nodename}: call it on a machine from which "
            f"SLURM's jobs are submitted (perhaps after `module load slurm`), {LOCALLY}"
        )
    try:
        lines = ask("sinfo", "--noheader", "--format=%R\t%D\t%a\t%l").splitlines()
        forget_old_jobs()
    except NoAnswerError as problem:
        raise ExpectedError(
            f"profiles/slurm: SLURM's controller does not answer ({problem}): wait until `sinfo` does, {LOCALLY}"
        ) from problem
    partitions = {
        name: Partition(int(nodes), available == "up", limit)
        for name, nodes, available, limit in (line.split("\t") for line in lines)
    }
    _try_lock()
    for stage, asked in _distinct(workflow.dag.needrun_jobs()):
        said = _try(stage, asked, partitions)
        _judge(stage, asked, said, partitions)
    if max((partition.nodes for partition in partitions.values()), default=1) > 1 and _is_of_one_machine(Path.cwd()):
        print(
            f"warning: {Path.cwd()} looks like a folder of this machine alone: all nodes must see it", file=sys.stderr
        )
    write_programs()


def cancel_jobs_left(workflow: Any) -> None:
    """After Ctrl-C, cancel the jobs that Snakemake has not: it forgets those whose state it is just looking at."""
    if workflow.executor_plugin and workflow.executor_plugin.name == "cluster-generic":
        try:
            jobs = jobs_left()
        except NoAnswerError as problem:
            print(f"jobs may be left in SLURM's queue, which does not answer: {problem}", file=sys.stderr)
            return
        if jobs:
            subprocess.run(["scancel", *(job.id for job in jobs)], check=False)


def _left() -> list[Job]:
    try:
        return jobs_left()
    except NoAnswerError as problem:
        raise ExpectedError(
            f"SLURM does not answer, and jobs of an earlier call may still run ({problem}): wait until `squeue` "
            f"answers, or remove {FOLDER} if this copy of the project is on no cluster any more"
        ) from problem


def _named(jobs: Iterable[Job]) -> str:
    return ", ".join(f"{job.address}: job {job.id}" for job in jobs)


def _distinct(jobs: Iterable[Any]) -> list[tuple[str, list[str]]]:
    """What is asked of SLURM, once each, with the first stage that asks for it."""
    asked: dict[tuple[str, ...], str] = {}
    for job in jobs:
        if not job.is_local:
            asked.setdefault(tuple(requests(job.threads, dict(job.resources.items()))), job.rule.name)
    return [(stage, list(options)) for options, stage in asked.items()]


def _try(stage: str, asked: list[str], partitions: Iterable[str]) -> str:
    """Have SLURM say whether it would ever start such a job; what it says."""
    command = ["sbatch", "--test-only", *asked]
    done = subprocess.run(
        command, input="#!/bin/sh\n", env=environment(), capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode and not PASSING.search(done.stderr):
        said = "; ".join(re.sub(r"sbatch: error: |allocation failure: ", "", done.stderr).splitlines())
        raise ExpectedError(
            f"SLURM would not take {stage} with {' '.join(asked[len(ALWAYS) :])}: {said}. Change slurm_partition "
            f"(there are {', '.join(sorted(set(partitions)))}), slurm_account or runtime in {PROFILE}, or mem_mb, "
            "threads or gpu in the stage's meta in dvc.yaml"
        )
    return done.stderr


def _judge(stage: str, asked: list[str], said: str, partitions: Mapping[str, Partition]) -> None:
    """ExpectedError where a job's time limit is above those of all partitions that might take it; a warning where they
    are closed.

    Most clusters take such a job, and have it wait for ever. A quality of service may lift the partition's limit.
    """
    values = dict(option.split("=", 1) for option in asked if "=" in option)
    time = values.get("--time")
    if time and time.startswith("-"):
        raise ExpectedError(f"the `runtime` of {stage} is {time} minutes: set it to a positive number in {PROFILE}")
    qos = values.get("--qos") or os.environ.get("SBATCH_QOS")
    named = values.get("--partition") or os.environ.get("SBATCH_PARTITION")
    names = named.split(",") if named else CHOSEN.findall(said)
    if not names or not partitions.keys() >= set(names):
        return
    if not any(partitions[name].takes_jobs for name in names):
        print(f"warning: {stage} waits until partition {' or '.join(names)} takes jobs again", file=sys.stderr)
    if not time or qos:
        return
    limits = {name: partitions[name].limit for name in names}
    if seconds(time) > max(map(seconds, limits.values())):
        others = ", ".join(f"{name}: {partition.limit}" for name, partition in sorted(partitions.items()))
        raise ExpectedError(
            f"SLURM would never start {stage}: its time limit, `runtime` of {time} minutes, is above that of partition "
            f"{' or '.join(f'{name} ({limit})' for name, limit in limits.items())}: lower `runtime`, or change "
            f"slurm_partition (there are {others}), in {PROFILE} or by --set-resources {stage}:runtime=MINUTES"
        )


def seconds(limit: str) -> float:
    """A time limit as SLURM writes it, MM, MM:SS, HH:MM:SS or D-HH:MM:SS; infinite for any other word."""
    days, dash, clock = limit.rpartition("-")
    try:
        numbers = [int(number) for number in clock.split(":")]
        if not dash and len(numbers) < 3:  # no hours
            numbers.insert(0, 0)
        hours, minutes, rest = [*numbers, 0, 0][:3]
        return timedelta(int(days or 0), hours=hours, minutes=minutes, seconds=rest).total_seconds()
    except ValueError:
        return math.inf


def _try_lock() -> None:
    """DVC and its jobs lock files of the project, and so do ours."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        with (FOLDER / "lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # another call is just trying
        return
    except OSError as error:
        raise ExpectedError(
            f"the file system of {Path.cwd()} cannot lock files ({error.strerror}), by which jobs on several machines "
            "keep out of each other's way: mount it with flock (NFS 4, or Lustre's option flock), or move the project"
        ) from error


def _is_of_one_machine(folder: Path) -> bool:
    return any(folder.is_relative_to(place) for place in {*OF_ONE_MACHINE, tempfile.gettempdir()})
