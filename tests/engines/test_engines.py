"""One DAG, two engines, one truth: what holds after either, after a change, after a failure and after a kill."""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from subprocess import Popen

import psutil
import pytest

from tests.engines.small_project import Project, kill_engine_only, kill_group

pytestmark = pytest.mark.slow

ALL = ["first", "last", "left", "lonely", "right"]


def test_after_dvc_snakemake_has_nothing_to_do(finished: Project) -> None:
    finished.assert_nothing_to_do()


def test_after_snakemake_dvc_has_nothing_to_do(finished_by_snakemake: Project) -> None:
    assert finished_by_snakemake.ran() == ALL
    finished_by_snakemake.assert_nothing_to_do()


def test_metadata_of_the_other_engine_is_not_needed(finished_by_snakemake: Project) -> None:
    project = finished_by_snakemake
    project.set(left=90)
    project.run("dvc")
    project.assert_nothing_to_do()
    project.set(left=20)
    project.run("snakemake")
    project.assert_nothing_to_do()


@pytest.mark.parametrize(
    ("change", "rerun"),
    [
        ({"left": 90}, ["last", "left"]),  # the stage that reads it, and the one whose input it changed
        ({"first": 90}, ["first", "last", "left", "right"]),
        ({"lonely": 90}, ["lonely"]),
        ({"first": 11}, ["first"]),  # 11 // 10 is what 10 // 10 was: an unchanged output stops there
    ],
)
def test_a_changed_parameter_reruns_the_stages_that_read_it(
    finished: Project, engine: str, change: dict[str, int], rerun: list[str]
) -> None:
    finished.set(**change)
    finished.run(engine)
    assert finished.ran() == rerun
    finished.assert_nothing_to_do()


def test_an_edited_comment_runs_no_stage_and_an_edited_function_those_that_import_it(
    finished: Project, engine: str
) -> None:
    work, lonely = finished.root / "pipeline/work.py", finished.root / "pipeline/stages/lonely.py"
    work.write_text(work.read_text().replace("def work(", "# Another word.\n\n\ndef work("))
    finished.run(engine)
    assert finished.ran() == []
    finished.assert_nothing_to_do()
    lonely.write_text(lonely.read_text().replace('work("lonely")', 'return work("lonely")'))
    finished.run(engine)
    assert finished.ran() == ["lonely"]
    work.write_text(work.read_text().replace("value // 10", "value // 5"))
    finished.run(engine)
    assert finished.ran() == ALL
    finished.assert_nothing_to_do()


def test_explain_names_the_file_that_was_edited(finished: Project) -> None:
    def explained() -> str:
        done = finished.call("python", "-m", "pipeline", "explain", "lonely")
        assert done.returncode == 0, done.stderr
        return done.stdout

    lonely, text = (
        finished.root / "pipeline/stages/lonely.py",
        (finished.root / "pipeline/stages/lonely.py").read_text(),
    )
    lonely.write_text(f"# Another word.\n{text}")
    assert explained() == "lonely: up to date\n"
    lonely.write_text(text.replace('work("lonely")', 'return work("lonely")'))
    changed = "lonely: would run\n    code changed: pipeline/stages/lonely.py\n"
    assert explained() == changed
    assert finished.call("dvc", "repro", "code").returncode == 0  # notes the change, and runs nothing else
    assert explained() == changed
    shutil.rmtree(finished.root / ".dvc/cache")
    assert "    code: changed; the previous version is not in DVC's cache\n" in explained()


def test_code_that_is_edited_during_a_run_makes_no_result(project: Project, engine: str) -> None:
    (project.beside / "wait_first").touch()
    process = project.start(engine)
    project.wait_for_start("first")
    work = project.root / "pipeline/work.py"
    work.write_text(work.read_text().replace("value // 10", "value // 5"))
    (project.beside / "wait_first").unlink()
    assert process.wait() != 0
    output = (project.beside / "engine.txt").read_text()
    changed = r"error: (left|right|lonely): code has changed since its manifest was written: pipeline/work\.py\. "
    assert re.search(changed, output)
    assert "Traceback" not in output
    assert not {"left", "right", "last"} & set(project.ran())
    project.run(engine)
    assert project.ran() == ALL
    assert json.loads((project.root / "first.json").read_text()) == ["first", 2]
    project.assert_nothing_to_do()


def test_independent_stages_overlap_in_time(finished_by_snakemake: Project) -> None:
    when = {(event["stage"], event["event"]): event["time"] for event in finished_by_snakemake.events()}
    assert when["left", "start"] < when["right", "end"]
    assert when["right", "start"] < when["left", "end"]


def test_what_others_wait_for_starts_before_what_none_waits_for(project: Project) -> None:
    done = project.call("snakemake", "--cores", "1")
    assert done.returncode == 0, done.stderr
    started = [event["stage"] for event in project.events() if event["event"] == "start"]
    assert started[0] == "first"
    assert set(started[1:3]) == {"left", "right"}
    assert set(started[3:]) == {"last", "lonely"}


@pytest.mark.parametrize("again", ["dvc", "snakemake"])
def test_a_failing_stage_stops_its_dependants_only(project: Project, again: str) -> None:
    project.set(left=-1)
    failed = project.call(*project.command("snakemake"))
    assert failed.returncode != 0
    assert "error: left cannot work with -1" in failed.stdout + failed.stderr
    assert "failed: side@left" in failed.stderr
    assert project.ran() == ["first", "left", "lonely", "right"]
    assert sorted(project.status()) == ["last", "side@left"]
    project.set(left=20)
    project.run(again)
    assert project.ran() == ["last", "left"]
    project.assert_nothing_to_do()


def test_dvc_keeps_going_too(project: Project) -> None:
    project.set(left=-1)
    failed = project.call("dvc", "repro", "--keep-going")
    assert failed.returncode != 0
    assert project.ran() == ["first", "left", "lonely", "right"], failed.stdout + failed.stderr
    project.set(left=20)
    project.run("snakemake")
    assert project.ran() == ["last", "left"]


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])  # bash is gone once the stage runs, dash stays above it
@pytest.mark.parametrize("kill", [kill_group, kill_engine_only])
def test_a_killed_run_continues_with_a_plain_second_call(
    project: Project, engine: str, kill: Callable[[Popen[bytes]], None], shell: str
) -> None:
    project.environment["SHELL"] = shell
    hang = project.beside / "hang_left"
    hang.touch()
    process = project.start(engine)
    orphan = project.wait_for_start("left")
    hang.unlink()
    kill(process)
    project.run(engine)
    ran = project.ran()
    assert ran.count("first") == 1
    assert ran.count("left") == 2
    assert not _runs(orphan), "the stage of the killed run is still at work beside the new one"
    project.assert_nothing_to_do()


def test_a_run_killed_under_one_engine_continues_under_the_other(project: Project) -> None:
    hang = project.beside / "hang_left"
    hang.touch()
    process = project.start("snakemake")
    project.wait_for_start("left")
    hang.unlink()
    kill_engine_only(process)
    _wait_until_idle(project)
    project.run("dvc")
    project.assert_nothing_to_do()


def test_a_second_call_beside_a_running_one_says_so_and_disturbs_nothing(project: Project) -> None:
    (project.beside / "hang_left").touch()
    process = project.start("dvc")
    stage = project.wait_for_start("left")
    refused = project.call(*project.command("snakemake"))
    assert refused.returncode == 2
    assert "is busy" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert _runs(stage)
    kill_group(process)


def test_a_bad_parameter_is_one_message_before_any_work(project: Project) -> None:
    project.set(left="many")
    refused = project.call(*project.command("snakemake"))
    assert refused.returncode == 2
    assert "error: params.yaml: left = 'many': must be a whole number" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert project.ran() == []


@pytest.mark.parametrize("target", [[], ["last"]])
def test_plain_dvc_removes_nothing_where_a_parameter_is_bad(finished: Project, target: list[str]) -> None:
    """Under DVC alone a stage's outputs are removed before the stage could refuse anything."""
    made = ["first.json", "left.json", "right.json", "last.json", "lonely.json"]
    before = {name: (finished.root / name).read_bytes() for name in made}
    finished.set(left=90, lonely="many")
    refused = finished.call("dvc", "repro", *target)
    assert refused.returncode != 0
    assert "error: params.yaml: lonely = 'many': must be a whole number" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert {name: (finished.root / name).read_bytes() for name in made} == before
    assert finished.ran() == []


def test_only_what_reads_a_changed_value_runs_once_it_is_checked(finished: Project) -> None:
    made = finished.root / "data/code/first.json"
    before = made.read_bytes()
    finished.set(lonely=60)
    finished.run("dvc")
    assert finished.ran() == ["lonely"]
    made.unlink()
    finished.run("dvc")
    assert finished.ran() == []
    assert made.read_bytes() == before
    finished.assert_nothing_to_do()


def test_a_stage_ended_by_a_signal_says_so_under_both_engines(project: Project, engine: str) -> None:
    (project.beside / "hang_left").touch()
    process = project.start(engine)
    os.kill(project.wait_for_start("left"), signal.SIGKILL)
    process.wait()
    output = (project.beside / "engine.txt").read_text()
    assert "error: stage side@left was ended by SIGKILL: most likely the system ran out of memory" in output


def test_what_a_kill_while_dvc_writes_its_lock_leaves_is_mended_by_snakemake(finished: Project) -> None:
    lock = finished.root / "dvc.lock"
    whole = lock.read_text()
    lock.write_text("")
    (finished.root / ".dvc/tmp/rwlock").write_text("")
    finished.run("snakemake")
    assert finished.ran() == []
    assert lock.read_text() == whole


def test_a_home_that_cannot_be_written_to(project: Project, engine: str) -> None:
    """The environment that `make env` creates has another place for caches then."""
    project.environment.pop("XDG_CACHE_HOME")
    project.environment["HOME"] = "/proc/nonexistent"
    project.run(engine)
    assert project.ran() == ALL


def test_a_broken_dvc_yaml_is_one_message(project: Project) -> None:
    with (project.root / "dvc.yaml").open("a") as stream:
        stream.write("oops: {\n")
    refused = project.call(*project.command("snakemake"))
    assert refused.returncode == 2
    assert "error: " in refused.stderr
    assert "dvc.yaml" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_stage_can_be_asked_for_by_its_address(project: Project) -> None:
    done = project.call("snakemake", "--cores", "2", "side@left")
    assert done.returncode == 0, done.stderr
    assert project.ran() == ["first", "left"]


def test_what_lies_above_a_stage_asked_for_runs_where_it_changed(finished: Project) -> None:
    finished.set(first=25)
    done = finished.call("snakemake", "--cores", "2", "last")
    assert done.returncode == 0, done.stdout + done.stderr
    assert finished.ran() == ["first", "last", "left", "right"]
    finished.set(left=21)  # writes what it wrote before, so what comes after it stays
    finished.call("snakemake", "--cores", "2", ".stamps/last")
    assert finished.ran() == ["left"]
    finished.assert_nothing_to_do()


def test_a_changed_file_under_dvc_add_is_recorded_by_either_engine(finished: Project, engine: str) -> None:
    data = finished.root / "cells.csv"
    data.write_text("1\n")
    assert finished.call("dvc", "add", "cells.csv").returncode == 0
    dvc_yaml = finished.root / "dvc.yaml"
    dvc_yaml.write_text(
        dvc_yaml.read_text().replace("deps: [data/code/first.json]", "deps: [data/code/first.json, cells.csv]", 1)
    )
    finished.run(engine)
    assert finished.ran() == ["first"]
    data.write_text("2\n")
    finished.run(engine)
    assert finished.ran() == ["first"]
    finished.assert_nothing_to_do()


def _runs(pid: int) -> bool:
    """Whether the process is at work; one that was killed may linger as a zombie until its parent has noticed."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_until_idle(project: Project) -> None:
    """Wait until no process that the killed engine had started is left."""
    pids = [event["pid"] for event in project.events() if event["event"] == "start"]
    patience = time.monotonic() + 30
    while any(_runs(pid) for pid in pids) and time.monotonic() < patience:
        time.sleep(0.1)
    time.sleep(1)  # DVC and the job above the stage end within a check of their parents
