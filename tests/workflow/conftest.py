"""A DVC repository without git, made in this process: what the bridge reads, without running an engine's command."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

DVC_YAML = """
stages:
  load:
    foreach:
      cells: {source: "${cells.path}"}
    do:
      cmd: cp ${item.source} ${key}.txt
      deps: ["${item.source}"]
      outs: ["${key}.txt"]
      meta: {threads: 1, mem_mb: 200, gpu: 0}
  fit:
    cmd: cat cells.txt code.py > fit.txt
    deps: [cells.txt, code.py]
    params: [fit]
    outs: [fit.txt]
    metrics:
      - score.json:
          cache: false
    meta: {threads: "${fit.threads}", mem_mb: 4000, gpu: 1}
  page:
    cmd: cat fit.txt > page.txt
    deps: [fit.txt]
    params:
      - params.yaml:
    outs: [page.txt]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, which is also the working directory; nothing has run."""
    (tmp_path / "dvc.yaml").write_text(
        DVC_YAML.replace("fit.txt\n    deps", "fit.txt && echo '{}' > score.json\n    deps")
    )
    write_params(tmp_path, latent=16)
    (tmp_path / "raw.csv").write_text("1\n")
    (tmp_path / "code.py").write_text("# v1\n")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".dvc/site"))
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHELL", "/bin/sh")
    return tmp_path


@pytest.fixture
def finished(project: Path) -> Path:
    """The folder after all stages have run."""
    reproduce()
    return project


def reproduce() -> None:
    with Repo() as repo:
        repo.reproduce()


def write_params(folder: Path, latent: int) -> None:
    content = {"cells": {"path": "raw.csv"}, "fit": {"latent": latent, "threads": 2, "widths": [8, 8]}}
    (folder / "params.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture
def set_latent(project: Path) -> Callable[[int], None]:
    return lambda latent: write_params(project, latent)
