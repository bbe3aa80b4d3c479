"""What Snakemake looks at before its first job in a cluster of Kubernetes: each problem is one sentence."""

import os
import shutil
from pathlib import Path
from typing import Any

from pipeline.core.errors import ExpectedError
from workflow.dag import cache_folder
from workflow.kubernetes import cancel, write_programs
from workflow.kubernetes_queue import NoAnswerError, ask, jobs_left, unended

PROFILE = "profiles/kubernetes/config.yaml"
LOCALLY = "or run on this machine: snakemake --cores all"
NEEDED = ("kubernetes_namespace", "kubernetes_image", "kubernetes_claim", "kubernetes_mount")


def names_left() -> list[str]:
    """Names of the jobs that an earlier call has left waiting or running. ExpectedError where that cannot be known."""
    try:
        return [job.name for job in jobs_left()]
    except NoAnswerError as problem:
        raise ExpectedError(
            f"the cluster does not answer, and jobs of an earlier call may still run ({problem}): wait until `kubectl "
            "get jobs` answers, or remove .snakemake/kubernetes if this copy of the project is in no cluster any more"
        ) from problem


def before_first_job(workflow: Any) -> None:
    """ExpectedError where a job could not run: none is sent then."""
    if shutil.which("kubectl") is None:
        raise ExpectedError(
            f"profiles/kubernetes: kubectl not found on {os.uname().nodename}: install the version of your cluster, "
            f"with a kubeconfig or in a pod of the cluster, {LOCALLY}"
        )
    asked = [
        {name: str(job.resources.get(name, "")) for name in NEEDED}
        for job in workflow.dag.needrun_jobs()
        if not job.is_local
    ]
    for resources in {tuple(one.values()): one for one in asked}.values():
        _check(resources)
    write_programs()


def cancel_jobs_left() -> None:
    """After Ctrl-C, cancel the jobs that Snakemake has not."""
    cancel(unended())


def _check(resources: dict[str, str]) -> None:
    absent = [name for name, value in resources.items() if not value]
    if absent:
        raise ExpectedError(f"{PROFILE}: default-resources lacks {', '.join(absent)}")
    namespace, claim, mount = (resources[f"kubernetes_{name}"] for name in ("namespace", "claim", "mount"))
    outside = [path for path in (Path.cwd(), cache_folder()) if not path.is_relative_to(mount)]
    if outside:
        raise ExpectedError(
            f"{outside[0]} is not on the volume that pods mount at {mount}: put the project and DVC's cache there, or "
            f"set kubernetes_mount in {PROFILE} to a folder above both"
        )
    wish = {"namespace": namespace, "verb": "create", "group": "batch", "resource": "jobs"}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    try:
        answer = ask(
            "create",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {**review, "spec": {"resourceAttributes": wish}},
        )
    except NoAnswerError as problem:
        raise ExpectedError(
            f"profiles/kubernetes: no cluster answers ({problem}): see that `kubectl get jobs` does, {LOCALLY}"
        ) from problem
    if not answer["status"]["allowed"]:
        raise ExpectedError(
            f"profiles/kubernetes: you may not create jobs in namespace {namespace!r}: name another at "
            f"kubernetes_namespace in {PROFILE}, or have its administrator allow it"
        )
    try:
        found = ask("get", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
    except NoAnswerError as problem:
        raise ExpectedError(
            f"profiles/kubernetes: no PersistentVolumeClaim {claim!r} in namespace {namespace!r} ({problem}): create "
            f"it, or name another at kubernetes_claim in {PROFILE}"
        ) from problem
    if "ReadWriteMany" not in found["spec"]["accessModes"]:
        raise ExpectedError(
            f"profiles/kubernetes: the PersistentVolumeClaim {claim!r} is {', '.join(found['spec']['accessModes'])}: "
            "pods on several nodes need one that is ReadWriteMany"
        )
