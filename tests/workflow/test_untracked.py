"""Inputs that a copy of the project would lack are named, with the command that puts them under DVC."""

import subprocess
from pathlib import Path

import pytest

from workflow.dag import Stage
from workflow.untracked import untracked_inputs


def stage(*deps: str, outs: tuple[str, ...] = ()) -> Stage:
    return Stage("ingest", "", deps, outs, {}, (), 1, 100, 0, ())


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, in which `tracked.csv` is."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "tracked.csv").write_text("1\n")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"],
    ):
        subprocess.run(["git", *command], check=True)
    return folder


def test_own_data_that_nothing_tracks_is_named_with_the_way_out(repository: Path) -> None:
    (repository / "cells.h5ad").write_text("mine")
    (repository.parent / "beside.csv").write_text("mine")
    found = untracked_inputs([stage("tracked.csv", "cells.h5ad", "../beside.csv")])
    assert [note.partition(":")[0] for note in found] == ["cells.h5ad", "../beside.csv"]
    assert found[0].endswith("`dvc add cells.h5ad`")
    assert found[1].endswith("`dvc import-url ../beside.csv`")


def test_of_a_folder_and_its_files_the_folder_is_named(repository: Path) -> None:
    (repository / "lab").mkdir()
    (repository / "lab/a.h5ad").write_text("mine")
    (note,) = untracked_inputs([stage("lab/a.h5ad"), stage("lab")])
    assert note.endswith("`dvc add lab`")


def test_what_git_dvc_or_a_stage_has_is_not_named(repository: Path) -> None:
    for name in ("cells.h5ad", "cells.h5ad.dvc", "made.parquet", "code.py"):
        (repository / name).write_text("x")
    (repository / "folder").mkdir()
    (repository / "folder/part.h5ad").write_text("x")
    (repository / "folder.dvc").write_text("x")
    deps = ("tracked.csv", "cells.h5ad", "folder/part.h5ad", "made.parquet", "code.py", "absent.csv")
    assert untracked_inputs([stage(*deps), stage(outs=("made.parquet",))]) == []


def test_without_a_commit_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.h5ad").write_text("mine")
    assert untracked_inputs([stage("cells.h5ad")]) == []
