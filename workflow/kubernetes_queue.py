"""The jobs of this checkout in a cluster of Kubernetes, by `kubectl`, and notes of them on the shared volume.

The standard library alone: see `workflow.kubernetes`.
"""

import json
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from workflow.kubernetes_job import CHECKOUT, ENDED, FOLDER, STAGE, checkout_label

JOBS = FOLDER / "jobs"  # by name, the namespace and stage of a job
ASKED = FOLDER / "asked"  # why jobs wait; written when the cluster was asked, so that not every job's status asks it
ANSWER_SECONDS = 60


class NoAnswerError(Exception):
    """The cluster does not answer; what kubectl says."""


@dataclass(frozen=True)
class Job:
    name: str
    address: str
    namespace: str
    ended: str | None  # the reason for which Kubernetes calls it failed, or Complete; None while it waits or runs
    waits: str  # why its pod does not start, if that is known
    killed: str  # what ended its container


def ask(verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """What the cluster answers to `get`, `create` or `delete` of a path of its API. NoAnswerError where it refuses.

    By kubectl, which knows every way to sign in, but without its own look at what kinds of things there are: that
    takes many requests.
    """
    command = ["kubectl", verb, "--raw", path, *(["--filename", "-"] if body is not None else [])]
    try:
        done = subprocess.run(
            command,
            input="" if body is None else json.dumps(body),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_SECONDS,
            start_new_session=True,  # which Ctrl-C does not reach: it would submit, and not say what
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswerError(str(error)) from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise NoAnswerError(said or f"kubectl ended with {done.returncode}")
    return json.loads(done.stdout)


def jobs_path(namespace: str, name: str = "") -> str:
    """Of the API: the jobs of a namespace, or one of them."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs" + (f"/{name}" if name else "")


def delete(name: str, namespace: str) -> None:
    """End a job and its pod. NoAnswerError where that fails."""
    try:
        ask("delete", f"{jobs_path(namespace, name)}?propagationPolicy=Background")
    except NoAnswerError as problem:
        if "NotFound" not in str(problem):  # it is gone already
            raise


def ask_jobs(namespaces: Iterable[str]) -> dict[str, Job]:
    """Jobs of this checkout by name, those that have ended too, asked now."""
    found = {}
    for namespace in sorted(set(namespaces)):
        chosen = f"?labelSelector={quote(f'{CHECKOUT}={checkout_label()}')}"
        pods = {
            pod["metadata"].get("labels", {}).get("job-name"): pod.get("status", {})
            for pod in ask("get", f"/api/v1/namespaces/{namespace}/pods{chosen}")["items"]
        }
        for job in ask("get", jobs_path(namespace) + chosen)["items"]:
            about = job["metadata"]
            pod = pods.get(about["name"], {})
            found[about["name"]] = Job(
                about["name"],
                about.get("annotations", {}).get(STAGE, ""),
                namespace,
                _how_it_ended(job.get("status", {})),
                _why_it_waits(pod),
                _what_killed(pod),
            )
    return found


def jobs_left() -> list[Job]:
    """Jobs that wait or run, whichever call has sent them; the end of others that were noted is noted now. The cluster
    is asked where there might be any."""
    names = unended()
    jobs = ask_jobs(noted(name)[0] for name in names) if names else {}
    for name in names:
        if name not in jobs or jobs[name].ended is not None:
            note_end(name, int(name not in jobs or jobs[name].ended != "Complete"))
    return [jobs[name] for name in names if name in jobs and jobs[name].ended is None]


def stages_left() -> set[str]:
    """Stages of these jobs; where the cluster does not answer, those of all that may be left."""
    try:
        return {job.address for job in jobs_left()}
    except NoAnswerError:
        return {noted(name)[1] for name in unended()}


def _how_it_ended(status: Mapping[str, Any]) -> str | None:
    for condition in status.get("conditions", []):
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return "Complete" if condition["type"] == "Complete" else condition.get("reason", "Failed")
    return None


def _why_it_waits(pod: Mapping[str, Any]) -> str:
    """Of the status of a pod that was not scheduled, or whose image cannot be had: the reason."""
    for condition in pod.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message") or condition.get("reason", ""))
    for container in pod.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return ": ".join(filter(None, [waiting["reason"], waiting.get("message")]))
    return ""


def _what_killed(pod: Mapping[str, Any]) -> str:
    """Of the status of a pod: OOMKilled, Evicted, ...; empty where it is not over."""
    states = [container.get("state", {}).get("terminated", {}) for container in pod.get("containerStatuses", [])]
    return next((str(state["reason"]) for state in states if "reason" in state), str(pod.get("reason", "")))


def note_job(name: str, namespace: str, address: str) -> None:
    """Note a job before it is sent: it is found by its name should this process be killed."""
    _write(JOBS / name, f"{namespace} {address}")


def noted(name: str) -> tuple[str, str]:
    """Namespace and stage of a job."""
    namespace, _, address = (JOBS / name).read_text(encoding="utf-8").partition(" ")
    return namespace, address


def note_end(name: str, code: int) -> None:
    """Note the end of a job that could not do so itself."""
    _write(ENDED / name, str(code))


def exit_code(name: str) -> int | None:
    """What a job left at its end; None as long as it runs, or where it was killed."""
    try:
        return int((ENDED / name).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def unended() -> list[str]:
    """Names of the jobs that have left no exit code: they wait or run, or were killed."""
    return [path.name for path in sorted(JOBS.glob("*")) if exit_code(path.name) is None]


def asked_ago() -> float:
    """Seconds since the cluster was asked."""
    try:
        return abs(time.time() - ASKED.stat().st_mtime)
    except FileNotFoundError:
        return float("inf")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent.parent / f"{path.name}.partial"
    partial.write_text(f"{text}\n" if path.parent == ENDED else text, encoding="utf-8")
    partial.replace(path)
