"""Snakemake's own options and views: forced stages, `--lint`, `--summary` and `--report`."""

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.engines.small_project import ROOT, Project, kill_engine_only, kill_group

pytestmark = pytest.mark.slow

ALL = ["first", "last", "left", "lonely", "right"]
OUTS = {
    "first": "first.json",
    "side@left": "left.json",
    "side@right": "right.json",
    "last": "last.json",
    "lonely": "lonely.json",
}

PAGE = "<p>What only this page says.</p>"
PAGE_STAGE = f"""
def run():
    from pathlib import Path
    Path("page.html").write_text("{PAGE}")


run()
"""
PAGE_YAML = """
  page:
    cmd: python -m pipeline.stage page
    deps: [data/code/page.json, last.json]
    outs: [page.html]
"""


def snakemake(project: Project, *options: str) -> str:
    """What Snakemake prints, stdout before stderr."""
    done = project.call("snakemake", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def summary(project: Project) -> dict[str, tuple[str, str, str]]:
    """Date, status and plan of each stage."""
    table = [line.split("\t") for line in snakemake(project, "--summary").splitlines() if "\t" in line]
    names = table[0]
    rows = [dict(zip(names, row, strict=True)) for row in table[1:]]
    return {row["rule"]: (row["date"], row["status"], row["plan"]) for row in rows}


def written(project: Project) -> dict[str, tuple[str, str, str]]:
    """What the summary should say where all is up to date: each stage finished when its output was written."""
    times = {stage: (project.root / out).stat().st_mtime for stage, out in OUTS.items()}
    return {stage: (time.ctime(when), "ok", "no update") for stage, when in times.items()}


@pytest.mark.parametrize(
    ("options", "rerun"),
    [
        (["--forcerun", "first"], ["first"]),  # what depends on it did not change: DVC skips it
        (["-R", "side@right", ".stamps/lonely"], ["lonely", "right"]),
        (["--force", "side@left"], ["left"]),
        (["--forceall"], ALL),
        (["-F", "side@left"], ["first", "left"]),
    ],
)
def test_a_forced_stage_runs_although_nothing_changed(finished: Project, options: list[str], rerun: list[str]) -> None:
    snakemake(finished, "--cores", "2", *options)
    assert finished.ran() == rerun
    finished.run("snakemake")
    finished.run("dvc")
    assert finished.ran() == []
    finished.assert_nothing_to_do()


def test_a_dry_run_forces_nothing_afterwards(finished: Project) -> None:
    assert "side@left" in snakemake(finished, "--dry-run", "--forcerun", "side@left")
    finished.run("snakemake")
    assert finished.ran() == []


def test_a_forced_run_that_was_killed_goes_on_with_a_plain_second_call(finished: Project) -> None:
    hang = finished.beside / "hang_left"
    hang.touch()
    output = (finished.beside / "engine.txt").open("wb")
    forced = [*finished.command("snakemake"), "--forcerun", "side@left"]
    process = subprocess.Popen(
        forced, cwd=finished.root, env=finished.environment, stdout=output, stderr=output, process_group=0
    )
    finished.wait_for_start("left")
    hang.unlink()
    kill_group(process)
    assert not (finished.root / "left.json").exists()
    finished.run("snakemake")
    assert finished.ran().count("left") <= 2, "DVC may know the result from its run cache"
    assert json.loads((finished.root / "left.json").read_text())[:2] == ["left", 2]
    finished.assert_nothing_to_do()


def test_lint_finds_only_what_the_snakefile_answers(finished: Project) -> None:
    found = finished.call("snakemake", "--lint").stderr.splitlines()
    titles = {line.removeprefix("    * ").removesuffix(":") for line in found if line.startswith("    * ")}
    assert titles == {"Specify a conda environment or container for each rule."}
    assert titles.pop() in (ROOT / "Snakefile").read_text()


def test_the_summary_tells_when_each_stage_finished_under_either_engine(project: Project) -> None:
    project.set(left=-1)
    project.call(*project.command("snakemake"))
    halfway = summary(project)
    assert halfway["first"][1:] == ("ok", "no update")
    assert halfway["side@left"] == ("-", "missing", "update pending")
    project.set(left=20)
    project.run("dvc")
    assert summary(project) == written(project)
    time.sleep(1)  # dates are in whole seconds
    project.set(first=11)  # its output stays the same: it alone is newer from now on
    project.run("snakemake")
    assert summary(project) == written(project)
    assert (project.root / "first.json").stat().st_mtime > (project.root / "last.json").stat().st_mtime
    project.assert_nothing_to_do()
    details = snakemake(project, "--detailed-summary")
    assert "workflow.run_stage side@left" in details
    assert ".stamps/side@left,.stamps/side@right" in details


def test_snakemake_does_not_miss_records_of_what_dvc_ran(finished: Project) -> None:
    assert "metadata" not in snakemake(finished, "--dry-run")
    assert "metadata" not in snakemake(finished, "--cores", "2", "--forcerun", "lonely")
    assert "metadata" not in snakemake(finished, "--dry-run")


def test_a_fresh_clone_in_which_dvc_pulled_is_up_to_date(finished: Project) -> None:
    for command in (["dvc", "remote", "add", "--default", "store", str(finished.beside / "store")], ["dvc", "push"]):
        done = finished.call(*command)
        assert done.returncode == 0, done.stderr
    finished.commit("A remote")
    clone = Project(finished.beside / "elsewhere")
    shutil.copytree(finished.beside / "library", clone.beside / "library", symlinks=True)
    subprocess.run(["git", "clone", "--quiet", finished.root, clone.root], check=True)
    pulled = clone.call("dvc", "pull")
    assert pulled.returncode == 0, pulled.stderr
    assert "metadata" not in snakemake(clone, "--dry-run")
    assert summary(clone) == written(clone)
    clone.assert_nothing_to_do()


@pytest.fixture
def with_page(finished: Project) -> Project:
    """The small project with a stage that writes a page, which DVC has run."""
    (finished.root / "pipeline/stages/page.py").write_text(PAGE_STAGE)
    with (finished.root / "dvc.yaml").open("a") as stream:
        stream.write(PAGE_YAML)
    finished.set(lonely=60)
    finished.run("dvc")
    return finished


def report(project: Project) -> str:
    """The report, made where nothing can be fetched; it must not be short of any record either."""
    project.environment |= dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    printed = snakemake(project, "--report", "out.html")
    assert "etadata" not in printed
    return (project.root / "out.html").read_text()


def test_the_report_holds_the_page_and_how_long_each_stage_took(with_page: Project) -> None:
    said = {event["event"]: event["time"] for event in with_page.events() if event["stage"] == "lonely"}
    text = report(with_page)
    assert base64.b64encode(PAGE.encode()).decode() in text
    assert 'src="http' not in text
    assert all(stage in text for stage in OUTS)
    records = with_page.root / ".snakemake/metadata"
    lonely = json.loads((records / base64.urlsafe_b64encode(b".stamps/lonely").decode()).read_text())
    assert lonely["starttime"] <= said["start"]
    assert said["end"] <= lonely["endtime"] < said["end"] + 5, "DVC may have put the file there anew"
    with_page.assert_nothing_to_do()


def test_the_report_leaves_out_what_is_out_of_date(with_page: Project) -> None:
    (with_page.root / "page.html").write_text("Somebody's own.")
    done = with_page.call("snakemake", "--report", "out.html")
    assert done.returncode == 0, done.stderr
    assert base64.b64encode(b"Somebody's own.").decode() not in (with_page.root / "out.html").read_text()


def test_the_report_of_a_run_that_was_killed_and_that_dvc_finished(project: Project) -> None:
    hang = project.beside / "hang_left"
    hang.touch()
    process = project.start("snakemake")
    orphan = project.wait_for_start("left")
    hang.unlink()
    kill_engine_only(process)
    patience = time.monotonic() + 30
    while Path(f"/proc/{orphan}").exists() and time.monotonic() < patience:
        time.sleep(0.1)
    time.sleep(1)  # DVC and the job above the stage end within a check of their parents
    project.run("dvc")
    assert "side@left" in report(project)
    project.assert_nothing_to_do()


def test_the_log_of_a_stage_holds_what_it_printed(project: Project) -> None:
    project.set(left=-1)
    project.call(*project.command("snakemake"))
    log = (project.root / ".snakemake/log/stages/side@left.log").read_text()
    assert "error: left cannot work with -1\n" in log
    assert "[side@left]" not in log
