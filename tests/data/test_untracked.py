"""An input that nothing tracks is named, with the command that versions it."""

import subprocess
from pathlib import Path

import pytest

from pipeline.data.untracked import untracked_advice


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a git repository with one commit, in which `data/tracked.h5ad` is."""
    folder = tmp_path / "project"
    (folder / "data/slices").mkdir(parents=True)
    monkeypatch.chdir(folder)
    (folder / "data/tracked.h5ad").write_text("cells")
    (folder / "data/my cells.h5ad").write_text("cells")
    (folder / "data/slices/left.h5ad").write_text("cells")
    git("init", "-q")
    git("add", "data/tracked.h5ad")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    return folder


def git(*command: str) -> None:
    subprocess.run(["git", *command], check=True)


def test_a_file_that_nothing_tracks_is_named_with_the_way_to_version_it(repository: Path) -> None:
    expected = (
        "data/my cells.h5ad is not tracked; `dvc add 'data/my cells.h5ad'` versions it, and `dvc exp run --temp` or "
        "`--queue` needs that"
    )
    assert untracked_advice(Path("data/my cells.h5ad")) == expected
    assert untracked_advice(repository / "data/my cells.h5ad") == expected
    assert str(untracked_advice(Path("data/slices"))).startswith("data/slices is not tracked; `dvc add data/slices`")


def test_what_git_or_dvc_tracks_needs_no_advice(repository: Path) -> None:
    assert untracked_advice(Path("data/tracked.h5ad")) is None
    (repository / "data/my cells.h5ad.dvc").write_text("outs: []\n")
    (repository / "data/slices.dvc").write_text("outs: []\n")
    for path in ("data/my cells.h5ad", "data/slices", "data/slices/left.h5ad"):
        assert untracked_advice(Path(path)) is None


def test_outside_the_project_or_without_a_commit_there_is_none(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside.h5ad").write_text("cells")
    assert untracked_advice(tmp_path / "beside.h5ad") is None
    assert untracked_advice(Path("../beside.h5ad")) is None
    monkeypatch.chdir(tmp_path)
    assert untracked_advice(Path("beside.h5ad")) is None
    monkeypatch.chdir(repository)
    git("checkout", "-q", "--orphan", "empty")
    assert untracked_advice(Path("data/my cells.h5ad")) is None
