"""Stages as jobs of SLURM: what Snakemake's executor `cluster-generic` calls, as profiles/slurm says.

    sh .snakemake/slurm/submit JOBSCRIPT     # prints the job's id
    sh .snakemake/slurm/status ID            # prints running, success or failed

The jobscript would start a second Snakemake on the node, to run one stage; only its line with the stage's properties is
used here, and the job is the stage's own command. Its exit code comes through the file system, in a second or two.
SLURM itself is asked only every `ASK_SECONDS`, for all jobs at once, to find those that were killed. The standard
library alone, without the environment's packages (-S): a start then takes less.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from workflow.failures import write_failure
from workflow.slurm_queue import (
    ENDED,
    ENDING,
    FOLDER,
    SUBMITTING,
    Job,
    NoAnswerError,
    address_of,
    ask_queue,
    clock,
    exit_code,
    keep_answer,
    last_job,
    name_of,
    note_end,
    note_job,
    note_submission,
    noted_at,
    read_answer,
    state_in_accounts,
    unended,
)

LOGS = Path(".snakemake/slurm_logs")  # what each job printed, and SLURM's own last words
FORCED = Path(".stamps/.forced")  # of `workflow.stamps`
ASK_SECONDS = 20
RETRY_SECONDS, PATIENCE_SECONDS = 5, 600  # to submit while the controller is restarted
AWAY = re.compile(r"unable to contact|timed out|connection|zero bytes|standby|temporarily", re.IGNORECASE)
USUAL_REASONS = ("None", "Priority", "Resources", "Dependency", "BeginTime")  # for which a job waits

# A job that SLURM itself requeues could start while a node that was lost still writes.
ALWAYS = ("--nodes=1", "--ntasks=1", "--no-requeue")

# `params.command` is quoted for a shell by `workflow.run_stage`. Where a signal has ended it, SLURM knows why, and no
# exit code is left; where the shell was ended, the command sees that its parent is gone, and ends as well.
SCRIPT = """#!/bin/sh
({command})
code=$?
[ $code -gt 128 ] && [ $code -lt 160 ] && exit $code
echo "$SLURM_JOB_ID $code" >{ended}.partial && mv {ended}.partial {ended}
exit $code
"""

# What profiles/slurm names, written before the first job for the Python that runs Snakemake. A shell, since a job's
# state is asked for every other second, and nearly always there is nothing new.
PROGRAMS = {  # Ctrl-C is Snakemake's, which waits for what these print, also while Python starts
    "submit": """trap '' INT
exec {python} -S -m workflow.slurm submit "$1"
""",
    "status": """trap '' INT
IFS= read -r address <"{folder}/jobs/$1"
fresh=$(find {folder}/queue.json -newermt "-{seconds} seconds" 2>/dev/null)
[ -n "$fresh" ] && [ ! -e "{folder}/ended/$address" ] && echo running && exit
exec {python} -S -m workflow.slurm status "$1"
""",
}

GOES_ON = "call again: it goes on from its last checkpoint"
MORE_TIME = "in profiles/slurm/config.yaml or by --set-resources {stage}:runtime=MINUTES"
ENDS = {  # what happened, and what to do
    "TIMEOUT": ("its time limit of {limit} is over", f"give it more `runtime`, {MORE_TIME}, and {GOES_ON}"),
    "OUT_OF_MEMORY": ("it took more memory than it had asked for", f"raise `mem_mb` in dvc.yaml's meta, and {GOES_ON}"),
    "CANCELLED": ("it was cancelled (scancel)", GOES_ON),
    "NODE_FAIL": ("its node {nodes} failed or was set down", GOES_ON),
    "PREEMPTED": ("another job took its place", GOES_ON),
    "FAILED": ("it failed, and its stage could not say why", "see {log}, and call again"),
}


def main(words: list[str]) -> int:
    """Run one of the two commands; its exit code."""
    command, argument = words
    if command == "submit":
        return submit(Path(argument))
    print(status(argument))
    return 0


def write_programs() -> None:
    """Write what Snakemake is to call."""
    values = {"python": shlex.quote(sys.executable), "folder": FOLDER, "seconds": ASK_SECONDS}
    for name, text in PROGRAMS.items():
        (FOLDER / name).write_text(text.format(**values), encoding="utf-8")


def submit(jobscript: Path) -> int:
    """Hand a stage to SLURM, unless its job is in the queue already, and print the job's id."""
    properties = read_properties(jobscript.read_text(encoding="utf-8"))
    address = properties["rule"]
    try:
        identifier, wait_for = _left_by_earlier_call(address)
        if identifier is None:
            identifier = _submitted(address, properties, wait_for)
    except NoAnswerError as problem:
        sentence = f"error: {address} was not submitted, SLURM says: {problem}"
        print(sentence, file=sys.stderr)
        write_failure(address, [sentence])
        return 1
    note_job(identifier, address)
    print(identifier)
    return 0


def read_properties(jobscript: str) -> dict[str, Any]:
    """What Snakemake says of a job: rule, threads, resources and params."""
    mark = "# properties = "
    line = next(line for line in jobscript.splitlines() if line.startswith(mark))
    properties: dict[str, Any] = json.loads(line.removeprefix(mark))
    return properties


def requests(threads: int, resources: dict[str, Any]) -> list[str]:
    """The options of sbatch that ask for what a stage needs."""
    asked = {
        "--cpus-per-task": threads,
        "--mem": f"{resources['mem_mb']}M" if resources.get("mem_mb") else None,
        "--time": resources.get("runtime"),
        "--gres": f"gpu:{resources['gpu']}" if resources.get("gpu") else None,
        "--partition": resources.get("slurm_partition"),
        "--account": resources.get("slurm_account"),
        "--qos": resources.get("slurm_qos"),
        "--constraint": resources.get("slurm_constraint"),
    }
    return [*ALWAYS, *(f"{name}={value}" for name, value in asked.items() if value)]


def environment() -> dict[str, str]:
    """Ours, without what SLURM tells a job: Snakemake may be one, whose memory and processors are not its jobs'."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name == "SLURM_CONF"}


def status(identifier: str) -> str:
    """How a job fares, in Snakemake's words."""
    try:
        address = address_of(identifier)
        if exit_code(identifier, address) is None:
            look_after_jobs()
        code = exit_code(identifier, address)
    except OSError:  # of a network disk, for a moment
        return "running"
    return "running" if code is None else "failed" if code else "success"


def look_after_jobs() -> None:
    """Ask SLURM, unless it was just asked, and note the end of all jobs that were killed."""
    known = read_answer()
    if known.age <= ASK_SECONDS:
        return
    now = clock()
    try:
        jobs = ask_queue()
    except NoAnswerError as problem:
        if not known.was_away:
            print(f"waiting for SLURM's controller, jobs go on meanwhile: {problem}", file=sys.stderr)
        keep_answer(known.reasons, was_away=True)
        return
    _tell_why_jobs_wait(known.reasons, jobs)
    keep_answer({job.id: job.reason for job in jobs.values() if job.state == "PENDING"})
    for address in unended():
        identifier = last_job(address) or ""
        job = jobs.get(identifier)
        submitted_since = job is None and (identifier == SUBMITTING or noted_at(identifier) >= now)
        if not submitted_since and (job is None or job.is_over):
            _note_end(identifier, address, job)


def _note_end(identifier: str, address: str, job: Job | None) -> None:
    """Note the end of a job that SLURM calls over or does not know; a sentence says why, unless it went well."""
    state = job.state if job else state_in_accounts(identifier)
    if exit_code(identifier, address) is not None:  # it came in the meantime
        return
    if state != "COMPLETED":
        _tell_what_ended(identifier, address, state, job)
    note_end(identifier, address, int(state != "COMPLETED"))


def _tell_why_jobs_wait(before: dict[str, str], now: dict[str, Job]) -> None:
    """Say of jobs that wait for something else than their turn what SLURM gives as the reason, once."""
    for job in now.values():
        if job.state == "PENDING" and job.reason not in (*USUAL_REASONS, before.get(job.id)):
            print(f"{job.address}: job {job.id} waits, SLURM says: {job.reason}", file=sys.stderr)


def _tell_what_ended(identifier: str, address: str, state: str | None, job: Job | None) -> None:
    """Say in one sentence what ended a job, and what to do, now and again at the end of the run."""
    unknown = (f"SLURM says {state}" if state else "SLURM does not know it any more", GOES_ON)
    what, advice = ENDS.get(state or "", unknown)
    values = {
        "stage": address,
        "log": LOGS / f"{address}.log",
        "limit": job.limit if job else "its request",
        "nodes": job.nodes if job else "",
    }
    sentence = f"error: {address}: job {identifier} has ended, {what.format(**values)}; {advice.format(**values)}"
    print(sentence, file=sys.stderr)
    write_failure(address, [sentence])


def _left_by_earlier_call(address: str) -> tuple[str | None, str | None]:
    """The job of this stage that a killed Snakemake has left, to be taken over; or one that has to end first."""
    last = last_job(address)
    if last is None or exit_code(last, address) is not None:
        return None, None
    for job in ask_queue().values():
        if job.address == address and not job.is_over:
            if job.state != ENDING and not (FORCED / address).is_file():
                print(f"{address}: job {job.id} of an earlier call goes on", file=sys.stderr)
                return job.id, None
            subprocess.run(["scancel", job.id], stdin=subprocess.DEVNULL, capture_output=True, check=False)
            return None, job.id
    return None, None


def _submitted(address: str, properties: dict[str, Any], wait_for: str | None) -> str:
    """Submit the stage's job; its id. NoAnswerError where SLURM refuses, or is away for `PATIENCE_SECONDS`."""
    log, ended = LOGS / f"{address}.log", ENDED / address
    note_submission(address)
    for path in (log, ended):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    command = [
        *("sbatch", "--parsable", f"--job-name={name_of(address)}", f"--chdir={Path.cwd()}"),
        f"--output={str(log).replace('%', '%%')}",  # sbatch fills in what begins with %
        f"--nice={properties['params'].get('nice', 0)}",
        *requests(properties["threads"], properties["resources"]),
        *([f"--dependency=afterany:{wait_for}"] if wait_for else []),
    ]
    script = SCRIPT.format(command=properties["params"]["command"], ended=shlex.quote(str(ended)))
    patience = time.monotonic() + PATIENCE_SECONDS
    while True:
        # In a session of its own, which Ctrl-C does not reach: it would submit, and not say what.
        done = subprocess.run(
            command, input=script, env=environment(), capture_output=True, text=True, errors="replace",
            start_new_session=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout.split(";")[0].strip()  # a cluster's name may follow
        said = " ".join(done.stderr.replace("sbatch: error: ", "").split())
        if not AWAY.search(said) or time.monotonic() > patience:
            raise NoAnswerError(said)
        if lost := _lives(address):  # the job has come, but not the answer
            return lost
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        time.sleep(RETRY_SECONDS)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _lives(address: str) -> str | None:
    """Id of the stage's job if it waits or runs, as far as SLURM answers."""
    try:
        alive = [job for job in ask_queue().values() if job.address == address and not job.is_over]
    except NoAnswerError:
        return None
    return next((job.id for job in alive if job.state != ENDING), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
