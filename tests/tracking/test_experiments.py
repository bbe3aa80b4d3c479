"""Experiments that DVC runs, in place and from its queue, arrive in the store of the checkout they were started in."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.checkout import main_checkout
from pipeline.tracking.store import open_store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

FIT = """
import json, time
from pathlib import Path
import yaml
from workflow.finished import note_end, note_start

note_start("fit")
rate = yaml.safe_load(Path("params.yaml").read_text())["fit"]["rate"]
time.sleep(0.2)
Path("reports/headlines").mkdir(parents=True, exist_ok=True)
Path("reports/headlines/error.json").write_text(json.dumps({"score": rate / 10}))
note_end("fit")
"""
TRACK = """
from pathlib import Path
from pipeline.tracking.project import mirror

mirror("celldag")
Path("tracked.txt").write_text("done")
"""
DVC_YAML = """
stages:
  fit:
    cmd: python fit.py
    deps: [fit.py]
    params: [fit]
    metrics: [{reports/headlines: {cache: false}}]
  track:
    cmd: python track.py
    deps: [track.py, reports/headlines]
    outs: [tracked.txt]
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command in a small project with two stages, in a repository of its own."""
    folder = tmp_path / "a project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "DVC_SITE_CACHE_DIR": str(tmp_path / "cache"),
        "DVC_NO_ANALYTICS": "1",
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    files = {"fit.py": FIT, "track.py": TRACK, "dvc.yaml": DVC_YAML, "params.yaml": "fit: {rate: 1}\n"}
    for name, text in {**files, ".gitignore": "mlflow.db\nmlartifacts\n"}.items():
        Path(name).write_text(text)
    run("git", "init", "-q", "-b", "main")
    run("git", "config", "user.name", "A Tester")
    run("git", "config", "user.email", "tester@example.org")
    run("dvc", "init", "-q")
    for subject, before in (("First", ["true"]), ("Results", ["dvc", "repro"])):
        run(*before)
        run("git", "add", ".")
        run("git", "commit", "-q", "-m", subject)
    return run


def test_experiments_arrive_in_the_store_of_the_main_checkout(call: Any) -> None:
    call("dvc", "exp", "run", "--name", "in-place", "--set-param", "fit.rate=2")
    call("dvc", "exp", "run", "--queue", "--name", "queued", "--set-param", "fit.rate=3")
    call("dvc", "exp", "run", "--run-all")
    call("dvc", "exp", "run", "--temp", "--name", "apart", "--set-param", "fit.rate=4")
    with open_store() as client:
        experiment = client.get_experiment_by_name("celldag")
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id])
    parents = {run.data.tags["experiment"]: run for run in found if "experiment" in run.data.tags}
    assert sorted(parents) == ["apart", "in-place", "queued"]
    for name, rate in (("in-place", 2), ("queued", 3), ("apart", 4)):
        [parent] = [r for r in found if r.data.tags.get("experiment") == name and r.data.tags["stage"] == "pipeline"]
        assert parent.info.run_name == name
        assert parent.data.params == {"fit.rate": str(rate)}
        assert parent.data.metrics == {"error.score": rate / 10}
        assert parent.data.tags["commit"] == call("git", "rev-parse", "HEAD")
        [fit] = [r for r in found if r.data.tags.get("experiment") == name and r.data.tags["stage"] == "fit"]
        assert fit.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert fit.data.tags["times"] == "measured"
        assert 200 <= fit.info.end_time - fit.info.start_time < 60_000
        shown = Path("mlartifacts", fit.info.run_id, "artifacts/headlines/error.json")
        assert shown.read_text() == f'{{"score": {rate / 10}}}'
    assert not list(Path(".dvc/tmp/exps").rglob("mlflow.db"))
    before = len(found)
    call(sys.executable, "-c", "from pipeline.tracking.project import mirror; mirror('celldag', 'queued')")
    with open_store() as client:
        assert len(client.search_runs([experiment.experiment_id])) == before


def test_only_an_experiment_has_another_main_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert main_checkout() == Path()  # DVC sets it for every stage
    monkeypatch.setenv("DVC_EXP_NAME", "faster")
    assert main_checkout() == Path()  # no project is there
    (tmp_path / ".dvc").mkdir()
    assert main_checkout() == tmp_path
