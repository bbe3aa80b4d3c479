"""What Snakemake looks at before its first job, and after Ctrl-C, on whichever cluster its profile says."""

from typing import Any

from pipeline.core.errors import ExpectedError
from workflow import kubernetes_check, slurm_check
from workflow.dag import read_stages, read_status


def refuse_edits() -> None:
    """ExpectedError where jobs of an earlier call wait or run, and parameters or code have changed since."""
    slurm_check.refuse_edits()
    names = kubernetes_check.names_left()
    if names:
        status = read_status(at_work=True)
        if any(stage.gate and stage.address in status for stage in read_stages()):
            raise ExpectedError(
                "parameters or code have changed, and jobs of an earlier call are in the cluster: wait until they have "
                f"ended, or `kubectl delete job {' '.join(names)}`, and call again"
            )


def before_first_job(workflow: Any) -> None:
    """ExpectedError where a job could not run: none is submitted then."""
    if _is_of_kubernetes(workflow):
        kubernetes_check.before_first_job(workflow)
        return
    if names := kubernetes_check.names_left():
        raise ExpectedError(
            "jobs of an earlier call are in a cluster of Kubernetes: go on with `snakemake --profile "
            f"profiles/kubernetes`, or `kubectl delete job {' '.join(names)}` first"
        )
    slurm_check.before_first_job(workflow)


def cancel_jobs_left(workflow: Any) -> None:
    """After Ctrl-C, cancel the jobs that Snakemake has not."""
    if _is_of_kubernetes(workflow):
        kubernetes_check.cancel_jobs_left()
    else:
        slurm_check.cancel_jobs_left(workflow)


def _is_of_kubernetes(workflow: Any) -> bool:
    plugin = workflow.executor_plugin
    command = getattr(workflow.executor_settings, "submit_cmd", None) if plugin else None
    return "kubernetes" in (command or "")
