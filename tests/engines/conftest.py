"""Copies of the small project, before its first run and after it, and a SLURM for it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.slurm_cluster import Cluster, what_is_missing
from tests.engines.small_project import Project, make


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project before its first run, made once: `git init` and `dvc init` take a second."""
    return make(tmp_path_factory.mktemp("engines")).beside


@pytest.fixture(scope="session")
def finished_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after one run of everything, committed."""
    beside = tmp_path_factory.mktemp("finished") / "beside"
    shutil.copytree(template, beside, symlinks=True)
    project = Project(beside)
    project.run("dvc")
    assert project.ran() == ["first", "last", "left", "lonely", "right"]
    project.commit("Results")
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


def running_cluster(folder: Path, accounting: bool) -> Iterator[Cluster]:
    problem = what_is_missing()
    if problem and os.environ.get("CI"):
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)
    with Cluster(folder / "slurm", accounting, cpus=3) as cluster:  # for `first`, and one more stage
        yield cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One without accounting."""
    yield from running_cluster(tmp_path_factory.mktemp("plain"), accounting=False)


@pytest.fixture
def submitted(project: Project, cluster: Cluster) -> Iterator[Project]:
    """The small project, whose Snakemake finds the cluster."""
    project.environment |= cluster.environment
    yield project
    cluster.call("scancel", "--user", "root")
