"""Stages as Jobs of Kubernetes: what Snakemake's executor `cluster-generic` calls, as profiles/kubernetes says.

    sh .snakemake/kubernetes/submit JOBSCRIPT     # prints the job's name
    sh .snakemake/kubernetes/status NAME          # prints running, success or failed
    .snakemake/kubernetes/cancel NAME...          # one word: Snakemake calls it without a shell

As with SLURM (`workflow.slurm`), the job is the stage's own command, without a second Snakemake, and its exit code
comes through the shared volume; the cluster is asked every `ASK_SECONDS`, for all jobs at once, to find those that were
killed. By kubectl, which knows every way to sign in to a cluster. The standard library alone (-S).
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from workflow.failures import write_failure
from workflow.kubernetes_job import ENDED, FOLDER, job_name, manifest
from workflow.kubernetes_queue import (
    ASKED,
    Job,
    NoAnswerError,
    ask,
    ask_jobs,
    asked_ago,
    delete,
    exit_code,
    jobs_path,
    note_end,
    note_job,
    noted,
    unended,
)
from workflow.slurm import read_properties

ASK_SECONDS = 20
FORCED = Path(".stamps/.forced")  # of `workflow.stamps`
GOES_ON = "call again: it goes on from its last checkpoint"

PROGRAMS = {  # Ctrl-C is Snakemake's, which waits for what these print, also while Python starts
    "submit": """trap '' INT
exec {python} -S -m workflow.kubernetes submit "$1"
""",
    "status": """trap '' INT
fresh=$(find {folder}/asked -newermt "-{seconds} seconds" 2>/dev/null)
[ -n "$fresh" ] && [ ! -e "{ended}/$1" ] && echo running && exit
exec {python} -S -m workflow.kubernetes status "$1"
""",
    "cancel": '#!/bin/sh\ntrap "" INT\nexec {python} -S -m workflow.kubernetes cancel "$@"\n',
}

ENDS = {  # what Kubernetes calls it; what happened, and what to do
    "DeadlineExceeded": (
        "its time limit is over",
        "give it more `runtime`, in profiles/kubernetes/config.yaml or by --set-resources {stage}:runtime=MINUTES, and "
        + GOES_ON,
    ),
    "OOMKilled": ("it took more memory than it had asked for", f"raise `mem_mb` in dvc.yaml's meta, and {GOES_ON}"),
    "Evicted": ("its node had no room left for it", GOES_ON),
}


def main(words: list[str]) -> int:
    """Run one of the three commands; its exit code."""
    command, *arguments = words
    if command == "submit":
        return submit(Path(arguments[0]))
    if command == "cancel":
        cancel(arguments)
    else:
        print(status(arguments[0]))
    return 0


def write_programs() -> None:
    """Write what Snakemake is to call."""
    ENDED.mkdir(parents=True, exist_ok=True)
    values = {"python": shlex.quote(sys.executable), "folder": FOLDER, "ended": ENDED, "seconds": ASK_SECONDS}
    for name, text in PROGRAMS.items():
        (FOLDER / name).write_text(text.format(**values), encoding="utf-8")
        (FOLDER / name).chmod(0o755)


def submit(jobscript: Path) -> int:
    """Send a stage's Job, unless one of an earlier call goes on, and print its name."""
    properties = read_properties(jobscript.read_text(encoding="utf-8"))
    address, resources = properties["rule"], properties["resources"]
    namespace = resources["kubernetes_namespace"]
    try:
        name = _left_by_earlier_call(address, namespace) or _sent(address, namespace, properties)
    except NoAnswerError as problem:
        sentence = f"error: {address} was not submitted, kubectl says: {problem}"
        print(sentence, file=sys.stderr)
        write_failure(address, [sentence])
        return 1
    print(name)
    return 0


def status(name: str) -> str:
    """How a job fares, in Snakemake's words."""
    try:
        if exit_code(name) is None:
            look_after_jobs()
        code = exit_code(name)
    except OSError:  # of a network disk, for a moment
        return "running"
    return "running" if code is None else "failed" if code else "success"


def cancel(names: list[str]) -> None:
    """Have Kubernetes end jobs, and their pods with them."""
    for name in names:
        try:
            delete(name, noted(name)[0])
        except (NoAnswerError, OSError) as problem:
            print(f"{name} may be left in the cluster: {problem}", file=sys.stderr)


def look_after_jobs() -> None:
    """Ask the cluster, unless it was just asked, and note the end of all jobs that were killed."""
    if asked_ago() <= ASK_SECONDS:
        return
    names = unended()
    try:
        jobs = ask_jobs(noted(name)[0] for name in names)
    except NoAnswerError as problem:
        print(f"waiting for the cluster, jobs go on meanwhile: {problem}", file=sys.stderr)
        ASKED.touch()
    else:
        before, now = _reasons_before(), {name: job.waits for name, job in jobs.items() if job.waits}
        for name in names:
            job = jobs.get(name)
            if (job is None or job.ended is not None) and exit_code(name) is None:
                _note_end(name, job)
            elif job is not None and job.waits and job.waits != before.get(name):
                print(f"{job.address}: {name} waits, Kubernetes says: {job.waits}", file=sys.stderr)
        ASKED.write_text(json.dumps(now), encoding="utf-8")


def _reasons_before() -> dict[str, str]:
    """Why jobs waited when the cluster was asked last."""
    try:
        reasons: dict[str, str] = json.loads(ASKED.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # never, or being written
        return {}
    return reasons


def _note_end(name: str, job: Job | None) -> None:
    """Note the end of a job that is over or gone; a sentence says why, unless it went well."""
    reason = "" if job is None else job.ended or ""
    if reason == "Complete":
        note_end(name, 0)
        return
    address = noted(name)[1]
    known = next((ENDS[word] for word in (job.killed if job else "", reason) if word in ENDS), None)
    what, advice = known or (f"Kubernetes says {reason}" if reason else "it was deleted", GOES_ON)
    sentence = f"error: {address}: job {name} has ended, {what}; {advice.format(stage=address)}"
    print(sentence, file=sys.stderr)
    write_failure(address, [sentence])
    note_end(name, 1)


def _left_by_earlier_call(address: str, namespace: str) -> str | None:
    """The job of this stage that a killed Snakemake has left, to be taken over."""
    names = [name for name in unended() if noted(name)[1] == address]
    if not names:
        return None
    jobs = ask_jobs({namespace, *(noted(name)[0] for name in names)})
    for name in names:
        if name in jobs and jobs[name].ended is None:
            if not (FORCED / address).is_file():
                print(f"{address}: job {name} of an earlier call goes on", file=sys.stderr)
                return name
            delete(name, noted(name)[0])
        note_end(name, 1)
    return None


def _sent(address: str, namespace: str, properties: dict[str, Any]) -> str:
    name = job_name(address)
    job = manifest(name, address, properties["params"]["command"], properties["threads"], properties["resources"])
    note_job(name, namespace, address)
    try:
        ask("create", jobs_path(namespace), job)
    except NoAnswerError:
        note_end(name, 1)
        raise
    return name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
