"""profiles/slurm on a real SLURM of one node: what jobs ask for, how they end, and that a plain second call goes on."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.conftest import running_cluster
from tests.engines.slurm_cluster import Cluster
from tests.engines.small_project import SUBMIT, Project, kill_group

pytestmark = pytest.mark.slow

ALL = ["first", "last", "left", "lonely", "right"]


@pytest.fixture(scope="module")
def accounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One with slurmdbd and its database."""
    yield from running_cluster(tmp_path_factory.mktemp("accounted"), accounting=True)


def start(project: Project, *options: str) -> subprocess.Popen[bytes]:
    output = (project.beside / "engine.txt").open("wb")
    return subprocess.Popen(
        [*SUBMIT, *options], cwd=project.root, env=project.environment, stdout=output, stderr=output, process_group=0
    )


def said(project: Project) -> str:
    return (project.beside / "engine.txt").read_text()


def finish(process: subprocess.Popen[bytes], project: Project) -> None:
    assert process.wait(project.timeout) == 0, said(project)


def hold(project: Project, *stages: str, how: str = "hang") -> list[Path]:
    """Have stages wait (until the file is removed) or hang (until they are killed)."""
    files = [project.beside / f"{how}_{stage}" for stage in stages]
    for file in files:
        file.touch()
    return files


def release(files: list[Path]) -> None:
    for file in files:
        file.unlink()


def queue(cluster: Cluster) -> dict[str, dict[str, str]]:
    """What `squeue` shows of each job that waits or runs, by name."""
    fields = {"id": "%i", "state": "%T", "cpus": "%C", "memory": "%m", "limit": "%l", "gpu": "%b"}
    lines = cluster.call("squeue", "--noheader", f"--format=%j|{'|'.join(fields.values())}").splitlines()
    return {name: dict(zip(fields, values, strict=True)) for name, *values in (line.split("|") for line in lines)}


def wait_until_gone(pid: int) -> None:
    patience = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < patience, "the stage outlives its job"
        time.sleep(0.1)


def accounts_of_ended_jobs(cluster: Cluster) -> list[str]:
    """Names and states of all jobs, as soon as no job is accounted as running: the accounts follow Slurm by seconds."""
    patience = time.monotonic() + 60
    while True:
        accounts = cluster.call("sacct", "--allocations", "--noheader", "--format=JobName%40,State").split()
        if not {"PENDING", "RUNNING", "COMPLETING"}.intersection(accounts):
            return accounts
        assert time.monotonic() < patience, f"a job that has ended is not accounted as ended: {accounts}"
        time.sleep(0.1)


def assert_made_as_undisturbed(project: Project, finished_template: Path) -> None:
    """DVC made the other copy."""
    for name in ("first.json", "left.json", "right.json", "last.json", "lonely.json"):
        assert (project.root / name).read_bytes() == (finished_template / "project" / name).read_bytes()
    assert project.status() == {}


def test_a_job_has_the_name_of_its_stage_and_asks_for_what_meta_says(submitted: Project, cluster: Cluster) -> None:
    # Both sides want a GPU, and each ends only once the other has started: one GPU per job, not one for all.
    dvc_yaml = submitted.root / "dvc.yaml"
    sides = '${key}.json"]\n      meta: {threads: 1, mem_mb: 100, gpu: '
    dvc_yaml.write_text(dvc_yaml.read_text().replace(f"{sides}0", f"{sides}1"))
    (submitted.beside / "meet").touch()
    waiting = hold(submitted, "first", "lonely", "right", how="wait")
    process = start(submitted, "side@left", "side@right", "lonely", "--set-resources", "lonely:runtime=5")
    for stage in ("first", "lonely"):
        submitted.wait_for_start(stage)
    jobs = queue(cluster)
    asked = {key: jobs["celldag:first"][key] for key in ("state", "cpus", "memory", "limit", "gpu")}
    assert asked == {"state": "RUNNING", "cpus": "2", "memory": "100M", "limit": "4:00:00", "gpu": "N/A"}
    lonely = jobs["celldag:lonely"]
    assert (lonely["memory"], lonely["limit"]) == ("1000M", "5:00"), "the default, where there is no meta"
    release(waiting[:2])
    submitted.wait_for_start("right")
    side = queue(cluster)["celldag:side@right"]
    assert (side["cpus"], side["gpu"]) == ("1", "gres:gpu:1")
    release(waiting[2:])
    finish(process, submitted)
    assert submitted.ran() == ["first", "left", "lonely", "right"]
    log = (submitted.root / ".snakemake/slurm_logs/side@left.log").read_text()
    assert "[side@left] > python -m pipeline.stage left" in log

    done = submitted.call(*SUBMIT, "side@left", "--forcerun", "first")
    assert done.returncode == 0, done.stdout + done.stderr
    assert submitted.ran() == ["first"], "what is forced on the command line is so on the node"
    assert list(submitted.status()) == ["last"]


def test_the_profiles_set_memory_and_gpus_of_one_stage(submitted: Project, cluster: Cluster) -> None:
    profile, default = (submitted.root / f"profiles/{name}/config.yaml" for name in ("slurm", "default"))
    profile.write_text(profile.read_text() + "set-resources:\n  lonely: {mem_mb: 150, gpu: 2}\n")
    default.write_text(default.read_text().replace("gpu: 1", "gpu: 2"))
    waiting = hold(submitted, "lonely", how="wait")
    process = start(submitted, "lonely")
    submitted.wait_for_start("lonely")
    lonely = queue(cluster)["celldag:lonely"]
    assert (lonely["memory"], lonely["gpu"]) == ("150M", "gres:gpu:2")
    release(waiting)
    finish(process, submitted)


def test_all_stages_run_where_there_is_accounting(
    project: Project, accounted: Cluster, finished_template: Path
) -> None:
    project.environment |= accounted.environment
    hanging = hold(project, "lonely")
    process = start(project)
    project.wait_for_start("lonely")
    release(hanging)
    accounted.call("scancel", "--name=celldag:lonely")
    assert process.wait(project.timeout) == 1
    assert re.search(r"error: lonely: job \d+ has ended, it was cancelled \(scancel\); call again", said(project))
    finish(start(project), project)
    assert project.ran().count("lonely") == 2
    assert_made_as_undisturbed(project, finished_template)
    accounts = accounts_of_ended_jobs(accounted)
    assert accounts.count("COMPLETED") == len(ALL)
    assert "celldag:side@left" in accounts


def test_after_a_time_limit_scancel_or_a_lost_node_a_second_call_goes_on(
    submitted: Project, cluster: Cluster, finished_template: Path
) -> None:
    hanging = hold(submitted, "left", "lonely")
    process = start(submitted)
    pids = [submitted.wait_for_start(stage) for stage in ("lonely", "left")]
    jobs = queue(cluster)
    assert not cluster.call("scontrol", "update", f"jobid={jobs['celldag:side@left']['id']}", "endtime=now")
    cluster.call("scancel", jobs["celldag:lonely"]["id"])
    assert process.wait(submitted.timeout) == 1
    output = said(submitted)
    assert re.search(
        r"error: side@left: job \d+ has ended, its time limit of \S+ is over; give it more `runtime`", output
    )
    assert re.search(r"error: lonely: job \d+ has ended, it was cancelled \(scancel\); call again", output)
    assert "Traceback" not in output
    assert submitted.ran() == ["first", "left", "lonely", "right"], output

    process = start(submitted)
    pids += [submitted.wait_for_start(stage) for stage in ("lonely", "left")]
    cluster.set_node("down")
    assert process.wait(submitted.timeout) == 1
    assert re.search(
        r"error: side@left: job \d+ has ended, its node n1 failed or was set down; call again", said(submitted)
    )
    for pid in pids:
        wait_until_gone(pid)
    cluster.set_node("resume")
    release(hanging)
    submitted.ran()
    finish(start(submitted), submitted)
    assert submitted.ran() == ["last", "left", "lonely"]
    assert_made_as_undisturbed(submitted, finished_template)


def test_a_restarted_controller_is_waited_for(submitted: Project, cluster: Cluster, finished_template: Path) -> None:
    waiting = hold(submitted, "first", how="wait")
    process = start(submitted)
    submitted.wait_for_start("first")
    cluster.stop_controller()
    release(waiting)
    ended = submitted.root / ".snakemake/slurm/ended/first"
    while not ended.exists() and process.poll() is None:
        time.sleep(0.1)
    time.sleep(4)  # until the sides are submitted, in vain
    cluster.start_controller()
    finish(process, submitted)
    assert submitted.ran() == ALL
    assert_made_as_undisturbed(submitted, finished_template)


def test_ctrl_c_cancels_the_jobs(submitted: Project, cluster: Cluster) -> None:
    release_later = hold(submitted, "first")
    process = start(submitted)
    pid = submitted.wait_for_start("first")
    release(release_later)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(submitted.timeout) != 0
    assert "Traceback" not in said(submitted)
    wait_until_gone(pid)
    assert {job["state"] for job in queue(cluster).values()} <= {"COMPLETING"}


def test_jobs_of_a_killed_snakemake_are_taken_over(
    submitted: Project, cluster: Cluster, finished_template: Path
) -> None:
    waiting = hold(submitted, "first", how="wait")
    process = start(submitted)
    submitted.wait_for_start("first")
    kill_group(process)
    jobs = queue(cluster)

    locally = submitted.call("snakemake", "--cores", "2")
    assert locally.returncode == 2
    assert "go on with `snakemake --profile profiles/slurm`, or `scancel" in locally.stderr
    params = (submitted.root / "params.yaml").read_text()
    submitted.set(left=90)
    edited = submitted.call(*SUBMIT)
    assert edited.returncode == 2
    assert re.search(
        r"error: parameters or code have changed, and jobs .* in SLURM's queue \(.*first: job", edited.stderr
    )
    (submitted.root / "params.yaml").write_text(params)

    process = start(submitted)
    patience = time.monotonic() + 60
    while "earlier call goes on" not in said(submitted) and time.monotonic() < patience:
        time.sleep(0.1)
    release(waiting)
    finish(process, submitted)
    assert f"first: job {jobs['celldag:first']['id']} of an earlier call goes on" in said(submitted)
    assert submitted.ran() == ALL, "each once"
    assert_made_as_undisturbed(submitted, finished_template)


def test_code_and_parameters_edited_during_a_run_make_no_result(submitted: Project) -> None:
    waiting = hold(submitted, "first", how="wait")
    process = start(submitted)
    submitted.wait_for_start("first")
    work = submitted.root / "pipeline/work.py"
    work.write_text(work.read_text().replace("value // 10", "value // 5"))
    release(waiting)
    assert process.wait(submitted.timeout) == 1
    output = said(submitted)
    assert re.search(
        r"error: (left|right|lonely): code has changed since its manifest was written: pipeline/work", output
    )
    assert "Traceback" not in output
    assert not {"left", "right", "last"} & set(submitted.ran())
    finish(start(submitted), submitted)
    assert submitted.ran() == ALL
    assert json.loads((submitted.root / "first.json").read_text()) == ["first", 2]
    assert submitted.status() == {}
