"""profiles/kubernetes with kubectl and a stand-in for the cluster: the manifests that are sent, and that a run of them
is one of DVC. Nothing here has run in a real cluster."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.kubernetes_cluster import StandIn, running_stand_in
from tests.engines.small_project import Project, kill_group

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("kubectl") is None and "CI" not in os.environ,
        reason="needs kubectl: install it with sh tests/engines/install_clusters",
    ),
]

SEND = ("snakemake", "--profile", "profiles/kubernetes")
ALL = ["first", "last", "left", "lonely", "right"]


def set_profile(project: Project, **values: str) -> None:
    profile = project.root / "profiles/kubernetes/config.yaml"
    lines = profile.read_text().splitlines()
    for name, value in values.items():
        lines = [f'  {name}: "{value}"' if line.strip().startswith(f"{name}:") else line for line in lines]
    profile.write_text("\n".join(lines) + "\n")


@pytest.fixture
def cluster(project: Project) -> Iterator[StandIn]:
    """The small project lies on what stands for the volume, and kubectl finds the stand-in."""
    set_profile(
        project, kubernetes_mount=str(project.beside), kubernetes_namespace="lab", kubernetes_image="registry/celldag:1"
    )
    with running_stand_in(project.beside, project.environment) as cluster:
        project.environment |= {
            "KUBECONFIG": str(project.beside / "kubeconfig"),
            "MLFLOW_TRACKING_URI": "http://mlflow",
        }
        yield cluster


def start(project: Project) -> subprocess.Popen[bytes]:
    output = (project.beside / "engine.txt").open("wb")
    return subprocess.Popen(
        SEND, cwd=project.root, env=project.environment, stdout=output, stderr=output, process_group=0
    )


def test_the_jobs_say_what_a_stage_needs_and_their_results_come_back(
    project: Project, cluster: StandIn, finished_template: Path
) -> None:
    dvc_yaml = project.root / "dvc.yaml"
    lonely = "outs: [lonely.json]"
    dvc_yaml.write_text(dvc_yaml.read_text().replace(lonely, f"{lonely}\n    meta: {{gpu: 1, mem_mb: 300}}"))
    done = project.call(*SEND)
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.ran() == ALL
    for name in ("first.json", "left.json", "right.json", "last.json", "lonely.json"):
        assert (project.root / name).read_bytes() == (finished_template / "project" / name).read_bytes()
    project.assert_nothing_to_do()

    assert len(cluster.sent) == len(ALL)
    first = cluster.job_of("first")
    assert (first["apiVersion"], first["kind"]) == ("batch/v1", "Job")
    assert first["metadata"]["namespace"] == "lab"
    assert first["metadata"]["name"].startswith("celldag-first-")
    assert cluster.job_of("side@left")["metadata"]["name"].startswith("celldag-side-left-")
    assert (first["spec"]["backoffLimit"], first["spec"]["activeDeadlineSeconds"]) == (0, 14_400)
    pod = first["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"] == {"runAsUser": os.getuid(), "runAsGroup": os.getgid()}
    assert [volume["persistentVolumeClaim"] for volume in pod["volumes"]] == [{"claimName": "celldag"}]
    (container,) = pod["containers"]
    assert container["image"] == "registry/celldag:1"
    assert container["workingDir"] == str(project.root)
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == [str(project.beside)]
    assert container["env"] == [{"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow"}]
    assert container["command"][:2] == ["/bin/sh", "-c"]
    assert f"{sys.executable} -m workflow.run_stage first" in container["command"][2]
    assert container["resources"] == {"requests": {"cpu": "2", "memory": "100Mi"}, "limits": {"memory": "100Mi"}}
    (container,) = cluster.job_of("lonely")["spec"]["template"]["spec"]["containers"]
    asked = {"memory": "300Mi", "nvidia.com/gpu": "1"}
    assert container["resources"] == {"requests": {"cpu": "1", **asked}, "limits": asked}


def test_a_stage_that_fails_and_one_that_is_killed_are_named(project: Project, cluster: StandIn) -> None:
    project.set(left=-1)
    cluster.killing["lonely"] = "OOMKilled"
    done = project.call(*SEND)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "error: left cannot work with -1" in done.stderr
    assert "has ended, it took more memory than it had asked for; raise `mem_mb` in dvc.yaml's meta" in done.stderr
    assert project.ran() == ["first", "left", "right"]
    project.set(left=20)
    done = project.call(*SEND)
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.ran() == ["last", "left", "lonely"]
    assert project.status() == {}


def test_jobs_of_a_killed_snakemake_are_taken_over(project: Project, cluster: StandIn) -> None:
    waiting = project.beside / "wait_first"
    waiting.touch()
    process = start(project)
    project.wait_for_start("first")
    kill_group(process)
    name = cluster.job_of("first")["metadata"]["name"]
    locally = project.call("snakemake", "--cores", "2")
    assert locally.returncode == 2
    assert "go on with `snakemake --profile profiles/kubernetes`, or `kubectl delete job" in locally.stderr
    process = start(project)
    patience = time.monotonic() + 60
    while "earlier call goes on" not in (project.beside / "engine.txt").read_text() and time.monotonic() < patience:
        time.sleep(0.1)
    waiting.unlink()
    said = (project.beside / "engine.txt").read_text
    assert process.wait(project.timeout) == 0, said()
    assert f"first: job {name} of an earlier call goes on" in said()
    assert project.ran() == ALL, "each once"
    assert project.status() == {}


def test_ctrl_c_deletes_the_jobs(project: Project, cluster: StandIn) -> None:
    waiting = project.beside / "wait_first"
    waiting.touch()
    process = start(project)
    project.wait_for_start("first")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(project.timeout) != 0
    assert cluster.status.keys().isdisjoint([cluster.job_of("first")["metadata"]["name"]])
    assert "Traceback" not in (project.beside / "engine.txt").read_text()


@pytest.mark.parametrize("problem", ["kubectl", "kubeconfig", "rights", "claim", "modes", "mount"])
def test_what_could_not_run_is_one_sentence_before_the_first_job(
    project: Project, cluster: StandIn, problem: str
) -> None:
    sentence = {
        "kubectl": "error: profiles/kubernetes: kubectl not found on",
        "kubeconfig": "error: profiles/kubernetes: no cluster answers",
        "rights": "error: profiles/kubernetes: you may not create jobs in namespace 'lab'",
        "claim": "error: profiles/kubernetes: no PersistentVolumeClaim 'other' in namespace 'lab'",
        "modes": "error: profiles/kubernetes: the PersistentVolumeClaim 'celldag' is ReadWriteOnce",
        "mount": f"error: {project.root} is not on the volume that pods mount at /elsewhere",
    }[problem]
    if problem == "kubectl":
        programs = project.beside / "programs"
        programs.mkdir()
        for program in [path for folder in ("/usr/bin", "/bin") for path in Path(folder).iterdir()]:
            if program.name != "kubectl" and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
        project.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), str(programs)])
    if problem == "kubeconfig":
        project.environment["KUBECONFIG"] = str(project.beside / "none")
    cluster.allowed = problem != "rights"
    if problem == "claim":
        set_profile(project, kubernetes_claim="other")
    if problem == "modes":
        cluster.modes = ["ReadWriteOnce"]
    if problem == "mount":
        set_profile(project, kubernetes_mount="/elsewhere")
    done = project.call(*SEND)
    assert done.returncode == 2, done.stdout + done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert said.startswith(sentence)
    assert "Traceback" not in done.stderr
    assert cluster.sent == []
    assert project.ran() == []
