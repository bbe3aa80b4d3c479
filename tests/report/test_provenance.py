"""What was run: the code's version as git tells it, the parameters as params.yaml lists them."""

import subprocess
from pathlib import Path

import pytest

from pipeline.report.parameters import flattened
from pipeline.report.provenance import describe_code


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


def test_without_a_commit_or_a_repository_or_git_that_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe_code().startswith("not in a git repository")
    git("init", "-q")
    assert describe_code().startswith("not in a git repository with a commit")
    monkeypatch.setenv("PATH", "")
    assert describe_code().startswith("not in a git repository")


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
