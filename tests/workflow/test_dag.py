"""The contract with DVC's internal API: what the bridge reads of a project, exactly."""

import re
from pathlib import Path

import dvc
import pytest

from pipeline.core.errors import ExpectedError
from workflow.dag import Stage, current_hashes, niceness, priorities, read_stages, read_status
from workflow.lock import read_lock

ROOT = Path(__file__).parents[2]


def test_the_installed_dvc_is_the_pinned_one() -> None:
    pinned = re.search(r"^dvc==(.+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert pinned is not None
    assert dvc.__version__ == pinned[1]


def test_stages_are_plain_resolved_and_in_order(project: Path) -> None:
    load, fit, page = read_stages()
    assert load == Stage(
        address="load@cells",
        command="cp raw.csv cells.txt",
        deps=("raw.csv",),
        outs=("cells.txt",),
        params={},
        params_listed=(),
        threads=1,
        mem_mb=200,
        gpu=0,
        upstream=(),
    )
    assert fit.deps == ("cells.txt", "code.py")
    assert fit.outs == ("fit.txt", "score.json")
    assert fit.params == {"fit": {"latent": 16, "threads": 2, "widths": [8, 8]}}
    assert fit.params_listed == ("fit",)
    assert (fit.threads, fit.mem_mb, fit.gpu) == (2, 4000, 1)
    assert fit.upstream == ("load@cells",)
    assert page.params_listed == ("params.yaml",)
    assert set(page.params) == {"cells", "fit"}
    assert page.upstream == ("fit",)
    assert (page.threads, page.gpu) == (1, 0)


def test_status_is_that_of_dvc(finished: Path, set_latent) -> None:
    assert read_status() == {}
    set_latent(8)
    status = read_status()
    assert status["fit"] == [{"changed deps": {"params.yaml": {"fit": "modified"}}}]
    (finished / "fit.txt").unlink()
    assert {"changed outs": {"fit.txt": "deleted"}} in read_status()["fit"]


def test_lock_holds_what_each_stage_ran_with(project: Path) -> None:
    assert read_lock() == {}


def test_current_hashes_are_what_dvc_would_lock(finished: Path) -> None:
    locked = {dep["path"]: dep["md5"] for dep in read_lock()["fit"]["deps"]}
    assert current_hashes({"fit": ["code.py", "cells.txt"]}) == locked
    (finished / "code.py").write_text("# v2\n")
    now = current_hashes({"fit": ["code.py", "absent"]})
    assert list(now) == ["code.py"]
    assert now["code.py"] != locked["code.py"]


@pytest.mark.parametrize("content", ["stages: [", "stages: {fit: {outs: [a]}}"])
def test_a_broken_dvc_yaml_is_an_error_that_names_it(project: Path, content: str) -> None:
    (project / "dvc.yaml").write_text(content)
    with pytest.raises(ExpectedError, match=r"dvc\.yaml"):
        read_stages()


def test_a_folder_without_dvc_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExpectedError, match="not inside of a DVC repository"):
        read_stages()


def test_a_project_without_its_git_repository(project: Path) -> None:
    (project / ".dvc/config").write_text("[core]\n    analytics = false\n")
    with pytest.raises(ExpectedError, match=r"is not a git repository; .*`git clone`"):
        read_stages()


def test_what_the_longest_chain_waits_for_comes_first_and_the_points_of_a_sweep_last_among_equals() -> None:
    def stage(address: str, *upstream: str) -> Stage:
        return Stage(address, "", (), (), {}, (), 1, 1, 0, upstream)

    stages = [
        stage("load"),
        stage("sweep@a"),
        stage("sweep@b"),
        stage("sweep@c"),
        stage("alone"),
        stage("fit", "load"),
        stage("judge@x", "fit"),
        stage("judge@y", "sweep@a", "sweep@b", "sweep@c", "alone"),
        stage("report", "judge@x", "judge@y"),
    ]
    found = priorities(stages)
    in_turn: dict[int, set[str]] = {}
    for address, priority in found.items():
        in_turn.setdefault(priority, set()).add(address)
    assert [in_turn[priority] for priority in sorted(in_turn, reverse=True)] == [
        {"load"},
        {"alone", "fit"},
        {"sweep@a", "sweep@b", "sweep@c"},
        {"judge@x", "judge@y"},
        {"report"},
    ]
    nice = niceness(found)
    assert [nice[address] for address in ("load", "alone", "sweep@a", "judge@y", "report")] == [0, 100, 100, 200, 300]
    many = [stage("first"), *(stage(f"point@{n}", "first") for n in range(50)), stage("last", "point@0")]
    found = priorities(many)
    assert found["first"] > found["point@0"] > found["last"]  # however many points there are
