"""The Job of Kubernetes that runs a stage, as the manifest that is sent."""

import hashlib
import os
import re
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(".snakemake/kubernetes")
ENDED = FOLDER / "ended"  # by name of the job, the exit code of its stage: written by the job at its end
APP, CHECKOUT, STAGE = "app.kubernetes.io/name", "celldag/checkout", "celldag/stage"
NAME_LENGTH = 63  # of a label's value, which Kubernetes makes of a job's name
KEPT_SECONDS = 86_400  # that a job which has ended is still shown
# Of this process's environment, what stages read; the image has the rest.
PASSED = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "TTNN_PYTHON")

# Written before the pod ends, and by its name, so that a late write cannot be taken for that of a later job. Where a
# signal has ended the stage, Kubernetes knows why, and no exit code is left.
SCRIPT = """({command})
code=$?
[ $code -gt 128 ] && [ $code -lt 160 ] && exit $code
echo "$code" >{ended}.partial && mv {ended}.partial {ended}
exit $code
"""


def job_name(address: str) -> str:
    """A new name for a job of this stage, as DNS allows it: `celldag-vae-pretrain-pbmc-held-out-0-3f2a9c`."""
    plain = re.sub(r"[^a-z0-9]+", "-", address.lower()).strip("-")
    own = secrets.token_hex(3)
    return f"celldag-{plain[: NAME_LENGTH - len('celldag--') - len(own)].rstrip('-')}-{own}"


def checkout_label() -> str:
    """What tells jobs of this checkout from those of another one."""
    return hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:16]


def manifest(name: str, address: str, command: str, threads: int, resources: Mapping[str, Any]) -> dict[str, Any]:
    """The Job: one pod, that is not started a second time, in the project's folder on the shared volume.

    command: quoted for a shell by `workflow.run_stage`. Files belong to whoever calls Snakemake, as in
    `docker run --user`. Memory is a limit as well, so that a stage that takes more is ended and says so; processors are
    a request, and so a share.
    """
    memory = {"memory": f"{resources['mem_mb']}Mi"} if resources.get("mem_mb") else {}
    gpus = {"nvidia.com/gpu": str(resources["gpu"])} if resources.get("gpu") else {}
    labels = {APP: "celldag", CHECKOUT: checkout_label()}
    container = {
        "name": "stage",
        "image": resources["kubernetes_image"],
        "command": ["/bin/sh", "-c", SCRIPT.format(command=command, ended=shlex.quote(str(ENDED / name)))],
        "workingDir": str(Path.cwd()),
        "env": [{"name": variable, "value": os.environ[variable]} for variable in PASSED if variable in os.environ],
        "resources": {"requests": {"cpu": str(threads), **memory, **gpus}, "limits": {**memory, **gpus}},
        "volumeMounts": [{"name": "project", "mountPath": resources["kubernetes_mount"]}],
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": {"runAsUser": os.getuid(), "runAsGroup": os.getgid()},
        "containers": [container],
        "volumes": [{"name": "project", "persistentVolumeClaim": {"claimName": resources["kubernetes_claim"]}}],
    }
    about = {"labels": labels, "annotations": {STAGE: address}}
    limit = {"activeDeadlineSeconds": 60 * resources["runtime"]} if resources.get("runtime") else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": resources["kubernetes_namespace"], **about},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            **limit,
            "template": {"metadata": about, "spec": pod},
        },
    }
