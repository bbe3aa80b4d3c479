"""What a kill leaves of DVC's own files, and what is made of it."""

import argparse
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from pipeline.commands import explain as explain_command
from pipeline.commands import repair as repair_command
from pipeline.core.errors import ExpectedError
from workflow.declared import is_declared
from workflow.finished import note_end, note_start, read_finished
from workflow.lock import COPY, keep_copy, read_lock, repair_lock
from workflow.repair import BUSY_PATHS, repair, repair_busy_paths
from workflow.slurm_queue import Job

LOCK = Path("dvc.lock")


@pytest.fixture
def whole(finished: Path) -> str:
    """The text of dvc.lock after a run, of which a copy is kept."""
    keep_copy()
    return LOCK.read_text()


def cut_before(address: str, text: str) -> str:
    return text[: text.index(f"  {address}:\n")]


@pytest.mark.parametrize("length", [0, 30, 200, -20, -1])
def test_an_empty_or_cut_file_is_put_back(whole: str, length: int) -> None:
    LOCK.write_text(whole[:length])
    with pytest.raises(ExpectedError, match=r"run `python -m pipeline repair`"):
        read_lock()
    assert repair().done == ["restored dvc.lock, damaged by a kill"]
    assert LOCK.read_text() == whole
    assert repair().status == {}


def test_a_file_cut_between_two_stages_gets_back_the_missing_ones(whole: str) -> None:
    LOCK.write_text(cut_before("page", whole))
    assert list(read_lock()) == ["load@cells", "fit"]  # what DVC would accept
    assert repair().done == ["restored to dvc.lock, which lacked them: page"]
    assert LOCK.read_text() == whole


def test_a_damaged_file_never_becomes_the_copy(whole: str) -> None:
    for damaged, message in [("", "is damaged"), (cut_before("fit", whole), "has lost fit, page")]:
        LOCK.write_text(damaged)
        with pytest.raises(ExpectedError, match=message):
            keep_copy()
        assert COPY.read_text() == whole


def test_what_jobs_on_other_machines_hold_is_left_to_them(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("12", "fit", "RUNNING", "None", "4:00:00", "n1")
    monkeypatch.setattr("workflow.repair.jobs_left", lambda **_: [job])
    note_start("fit")
    note_end("fit")
    of_another_machine = 2**22 + 1  # above any process id of this one
    busy = {"write": {str(finished / "fit.txt"): {"pid": of_another_machine, "cmd": "cat"}}, "read": {}}
    BUSY_PATHS.write_text(json.dumps(busy))
    assert repair().done == []
    assert json.loads(BUSY_PATHS.read_text()) == busy
    assert [end.address for end in read_finished()] == ["fit"], "the job's DVC has still to record it"
    monkeypatch.setattr("workflow.repair.jobs_left", lambda **_: [])
    assert repair().done == ["removed entries of killed processes from .dvc/tmp/rwlock"]


def test_locks_that_survive_a_kill_are_refused(finished: Path) -> None:
    with Path(".dvc/config").open("a") as stream:
        stream.write("    hardlink_lock = true\n")
    with pytest.raises(ExpectedError, match=r"dvc config --unset core\.hardlink_lock"):
        repair()


def test_a_file_that_was_removed_is_no_damage(whole: str) -> None:
    LOCK.unlink()
    assert repair_lock() is None
    keep_copy()
    assert not COPY.exists()


def test_a_stage_that_dvc_yaml_no_longer_declares_is_not_missed(whole: str, finished: Path) -> None:
    dvc_yaml = finished / "dvc.yaml"
    dvc_yaml.write_text(dvc_yaml.read_text().partition("  page:")[0])
    LOCK.write_text(cut_before("page", whole))
    assert repair().done == []
    assert COPY.read_text() == LOCK.read_text()


@pytest.mark.parametrize(
    ("address", "missed"),
    [
        ("side@left", True),
        ("side@old", False),
        ("fit", True),
        ("fit@x", False),
        ("point@any", True),
        ("point@old", False),
    ],
)
def test_a_key_that_dvc_yaml_no_longer_declares_is_not_missed(address: str, missed: bool) -> None:
    declared = {"side": {"foreach": {"left": {}, 2: {}}}, "fit": {"cmd": "true"}, "point": {"foreach": "${points}"}}
    assert is_declared(address, declared, {"points": {"any": {}}}) == missed


def test_without_a_copy_a_damaged_file_is_removed(finished: Path) -> None:
    LOCK.write_text("")
    assert repair_lock() == "removed dvc.lock, damaged by a kill: its first stages will rerun"
    assert read_lock() == {}


def test_a_list_of_busy_paths_that_was_cut_is_removed(finished: Path) -> None:
    for text in ("", '{"write": {"a', '{"write": 3}'):
        BUSY_PATHS.write_text(text)
        assert repair().done == [f"removed {BUSY_PATHS}, damaged by a kill"]
        assert repair().status == {}


def test_busy_paths_are_those_of_processes_at_work(finished: Path) -> None:
    dead = subprocess.Popen(["true"])
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # ended, not collected: DVC takes it for alive
    alive = {"pid": os.getpid(), "cmd": "dvc repro"}
    gone = {"pid": dead.pid, "cmd": "dvc repro"}
    BUSY_PATHS.write_text(json.dumps({"write": {"a": alive, "b": gone}, "read": {"c": [gone, alive], "d": [gone]}}))
    assert repair_busy_paths() == f"removed entries of killed processes from {BUSY_PATHS}"
    assert json.loads(BUSY_PATHS.read_text()) == {"write": {"a": alive}, "read": {"c": [alive]}}
    assert repair_busy_paths() is None
    os.utime(BUSY_PATHS, (1, 1))  # written before this process started: another one had its number
    repair_busy_paths()
    assert json.loads(BUSY_PATHS.read_text()) == {"write": {}, "read": {}}
    dead.wait()


@pytest.fixture
def unrecorded(whole: str, finished: Path) -> str:
    """All have run; `fit` has run again, and DVC was killed while it wrote that. What dvc.lock was before."""
    (finished / "code.py").write_text("# v2\n")
    note_start("fit")
    (finished / "fit.txt").write_text("1\n# v2\n")
    note_end("fit")
    LOCK.write_text("")
    return whole


def test_a_stage_that_ended_is_recorded_and_not_run(unrecorded: str, finished: Path) -> None:
    assert repair().done[1] == "recorded stages that had finished when DVC was killed: fit"
    assert list(repair().status) == ["page"]
    locked = {dep["path"]: dep["md5"] for dep in read_lock()["fit"]["deps"]}
    assert locked["code.py"] == hashlib.md5(b"# v2\n", usedforsecurity=False).hexdigest()
    assert read_finished() == []


@pytest.mark.parametrize(("file", "text"), [("code.py", "# v3\n"), ("params.yaml", "\n"), ("score.json", "{ }")])
def test_it_is_not_where_what_it_read_or_made_has_changed_since(
    unrecorded: str, finished: Path, file: str, text: str
) -> None:
    path = finished / file
    path.write_text(path.read_text() + text)
    assert repair().done == ["restored dvc.lock, damaged by a kill"]
    assert LOCK.read_text() == unrecorded
    assert "fit" in repair().status
    assert read_finished() == []


def test_the_command_says_what_it_did_and_then_that_there_is_nothing_to_do(
    whole: str, capsys: pytest.CaptureFixture[str]
) -> None:
    LOCK.write_text("")
    repair_command.run(argparse.Namespace())
    assert capsys.readouterr().out == "restored dvc.lock, damaged by a kill\n"
    repair_command.run(argparse.Namespace())
    assert capsys.readouterr().out == "there is nothing to repair\n"
    assert LOCK.read_text() == whole


def test_explain_mends_first_and_says_so(
    whole: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_command, "make_plan", lambda **_: False)  # this small project has no studies
    LOCK.write_text(cut_before("page", whole))
    explain_command.run(argparse.Namespace(stage=None))
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "restored to dvc.lock, which lacked them: page"
    assert [line.partition(":")[0] for line in shown[1:4]] == ["load@cells", "fit", "page"]
    assert LOCK.read_text() == whole


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n", "[]\n", "schema: '2.0'\n", "stages: {fit: {outs: []}}\n"])
def test_what_dvc_does_not_write_is_damage(whole: str, text: str) -> None:
    LOCK.write_text(text)
    assert repair_lock() == "restored dvc.lock, damaged by a kill"
    assert LOCK.read_text() == whole
