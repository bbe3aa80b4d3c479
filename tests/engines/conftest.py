"""Copies of the small project: before its first run, and after it."""

import shutil
from pathlib import Path

import pytest
from small_project import DVC_YAML, ROOT, STAGE, STUB_PARAMS, Project


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project before its first run, made once: `git init` and `dvc init` take a second."""
    beside = tmp_path_factory.mktemp("engines")
    project = Project(beside)
    (project.root / "pipeline/params").mkdir(parents=True)
    (beside / "library").mkdir()
    (beside / "library/workflow").symlink_to(ROOT / "workflow")
    for name in ("Snakefile", ".gitignore", "pipeline/__init__.py", "pipeline/errors.py", "pipeline/lifeline.py"):
        shutil.copy(ROOT / name, project.root / name)
    shutil.copytree(ROOT / "profiles", project.root / "profiles")
    (project.root / "pipeline/params/whole.py").write_text(STUB_PARAMS)
    (project.root / "stage.py").write_text(STAGE)
    (project.root / "dvc.yaml").write_text(DVC_YAML)
    (project.root / "params.yaml").write_text("first: 10\nleft: 20\nright: 30\nlast: 40\nlonely: 50\n")
    commands = [
        ["git", "init", "--quiet"],
        ["git", "config", "user.name", "A Tester"],
        ["git", "config", "user.email", "tester@example.org"],
        ["dvc", "init", "--quiet"],
    ]
    for command in commands:
        done = project.call(*command)
        assert done.returncode == 0, done.stderr
    for name in (".dvc/config", ".dvcignore"):
        shutil.copy(ROOT / name, project.root / name)
    assert project.call("git", "add", ".").returncode == 0
    assert project.call("git", "commit", "--quiet", "-m", "A small project").returncode == 0
    return beside


@pytest.fixture(scope="session")
def finished_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after one run of everything, committed."""
    beside = tmp_path_factory.mktemp("finished") / "beside"
    shutil.copytree(template, beside, symlinks=True)
    project = Project(beside)
    project.run("dvc")
    assert project.ran() == ["first", "last", "left", "lonely", "right"]
    assert project.call("git", "add", ".").returncode == 0
    assert project.call("git", "commit", "--quiet", "-m", "Results").returncode == 0
    return beside


@pytest.fixture(scope="session")
def finished_by_snakemake_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after one run of everything by Snakemake, in which both sides have waited for each other's start."""
    beside = tmp_path_factory.mktemp("snakemake") / "beside"
    shutil.copytree(template, beside, symlinks=True)
    (beside / "meet").touch()
    Project(beside).run("snakemake")
    (beside / "meet").unlink()
    return beside


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """The small project before its first run."""
    return Project(shutil.copytree(template, tmp_path / "beside", symlinks=True))


@pytest.fixture
def finished(finished_template: Path, tmp_path: Path) -> Project:
    """The small project after its first run."""
    return Project(shutil.copytree(finished_template, tmp_path / "beside", symlinks=True))


@pytest.fixture
def finished_by_snakemake(finished_by_snakemake_template: Path, tmp_path: Path) -> Project:
    """The small project after its first run, which was Snakemake's."""
    return Project(shutil.copytree(finished_by_snakemake_template, tmp_path / "by_snakemake", symlinks=True))


@pytest.fixture(params=["dvc", "snakemake"])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param
