"""What was run: the code's version as git tells it, the parameters as params.yaml lists them."""

import subprocess
from pathlib import Path

import pytest
from markupsafe import Markup

from pipeline.core.paths import StudyPaths
from pipeline.core.provenance import commit_around
from pipeline.report.chapter import study_chapter
from pipeline.report.page import Facts, Part, System
from pipeline.report.parameters import flattened
from pipeline.report.provenance import describe_code, provenance


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    git("init", "-q")
    Path("params.yaml").write_text("a: 1\n")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return tmp_path


@pytest.mark.parametrize(
    ("sha256", "told"), [("0123", "cells of two donors; SHA-256 0123"), (None, "cells of two donors")]
)
def test_each_study_says_which_data_it_is_of(sha256, told):
    """A folder of files has no hash of its own."""
    card = System("A", "", "", "level", "", "", [], simulated=True, elsewhere="", anchor="a")
    dataset = {"description": "cells of two donors"} | ({} if sha256 is None else {"input_sha256": sha256})
    chapters = [
        study_chapter(StudyPaths("toy", study), None, Part("A: b", []), card, [], dataset) for study in ("one", "two")
    ]
    (facts,) = [block for block in provenance(chapters, {}, Markup()).blocks if isinstance(block, Facts)]
    found = dict(facts.entries)
    assert [found["Data of one"], found["Data of two"]] == [told, told]


def test_a_clean_tree_is_its_commit(repository):
    commit = git("rev-parse", "HEAD")
    assert describe_code() == f"git commit {commit}, without uncommitted changes (results aside)"


def test_uncommitted_changes_are_named(repository):
    Path("params.yaml").write_text("a: 2\n")
    Path("new.py").write_text("")
    assert describe_code().endswith("with uncommitted changes: params.yaml, new.py")


def test_results_that_the_run_writes_are_no_change_of_the_code(repository):
    Path("dvc.lock").write_text("")
    Path("reports").mkdir()
    Path("reports/metrics.json").write_text("{}")
    assert "without uncommitted changes" in describe_code()


def test_many_changes_are_counted(repository):
    for number in range(8):
        Path(f"file{number}").write_text("")
    assert describe_code().endswith("file0, file1, file2, file3, file4 and 3 more")


def test_without_a_commit_the_report_says_so_in_gits_words_and_aloud(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "git says: fatal: not a git repository" in (described := describe_code())
    assert "get the project with `git clone`" in described
    git("init", "-q")
    assert "there is no commit here yet: make one" in describe_code()
    monkeypatch.setenv("PATH", "")
    assert "git is not installed: install it" in describe_code()
    assert capsys.readouterr().err.count("note: the report names no commit; ") == 3


def test_a_repository_of_another_user_is_told_as_such(repository, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    described = describe_code()
    assert "detected dubious ownership in repository" in described
    assert f"git config --global --add safe.directory {repository}" in described
    assert "\n" not in described


def test_a_result_without_a_commit_says_so_on_stderr_and_in_what_is_written(repository, monkeypatch, capsys):
    assert commit_around(repository) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    Path("params.yaml").write_text("a: 2\n")
    assert commit_around(repository)["dirty"] is True
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    said = commit_around(repository)
    assert (said["commit"], said["dirty"]) == ("unknown", True)
    assert "dubious ownership" in said["commit_unknown"]
    assert capsys.readouterr().err == f"note: what is written names no commit; {said['commit_unknown']}\n"


def test_changes_that_git_cannot_tell_are_not_taken_for_none(repository):
    Path(".git/index").write_bytes(b"damaged")
    assert commit_around(repository)["commit"] == "unknown"
    assert "git commit" not in describe_code()


def test_parameters_are_flattened_in_order():
    parameters = {"b": {"y": 1, "x": {"z": None}}, "a": [1, 2], "pairs": [{"p": "q"}, {"p": "r"}], "on": True}
    assert flattened(parameters) == [
        ("b.y", "1"),
        ("b.x.z", "none"),
        ("a", "1, 2"),
        ("pairs.0.p", "q"),
        ("pairs.1.p", "r"),
        ("on", "True"),
    ]
