"""Whatever the mirror cannot do is said in one message, with exit code 2."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ExpectedError
from pipeline.tracking.project import mirror

Track = Callable[..., subprocess.CompletedProcess[str]]


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(autouse=True)
def _whole_params(project: Any) -> None:
    """The command validates all of params.yaml."""
    shutil.copy(Path(__file__).parents[2] / "params.yaml", "params.yaml")


def test_unknown_revision(track_here: Track) -> None:
    assert "no revision 'v9'" in refused(track_here("--rev", "v9"))


def test_a_revision_is_never_an_option_of_git(track_here: Track) -> None:
    assert "no revision '--all'" in refused(track_here("--rev=--all"))


def test_no_results_in_the_working_tree(track_here: Track) -> None:
    Path("dvc.lock").unlink()
    assert "the working tree has no dvc.lock" in (message := refused(track_here()))
    assert "dvc repro" in message


def test_no_results_in_the_revision(track_here: Track) -> None:
    subprocess.run(["git", "rm", "-q", "--cached", "dvc.lock"], check=True)
    subprocess.run(["git", "commit", "-q", "-m", "Forget"], check=True)
    assert "has no dvc.lock, hence no results to mirror" in refused(track_here("--rev", "HEAD"))


@pytest.mark.parametrize("content", ["<<<<<<< HEAD\n", "[]", "stages: {vae_pretrain: {outs: [{path: a}]}}"])
def test_a_damaged_lock_file(track_here: Track, content: str) -> None:
    Path("dvc.lock").write_text(content)
    assert "dvc.lock of the working tree" in refused(track_here())


def test_no_commit_yet(track_here: Track) -> None:
    shutil.rmtree(".git")
    subprocess.run(["git", "init", "-q", "."], check=True)
    assert "no commit here yet" in refused(track_here())


def test_a_repository_that_git_refuses_is_told_in_gits_words(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        with pytest.raises(ExpectedError, match=r"dubious ownership.*git config --global --add safe\.directory"):
            mirror("celldag")
    shutil.rmtree(".git")
    with pytest.raises(ExpectedError, match=r"not a git repository.*`git clone`"):
        mirror("celldag")


def test_unreachable_server(track_here: Track) -> None:
    uri = f"http://someone:secret@127.0.0.1:{free_port()}"
    message = refused(track_here(MLFLOW_TRACKING_URI=uri))
    assert "127.0.0.1" in message
    assert "MLFLOW_TRACKING_URI" in message
    assert "secret" not in message


def test_read_only_store(track_here: Track) -> None:
    assert track_here().returncode == 0
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "Next"], check=True)
    # Permissions mean nothing to root, under whom containers run: the database itself is told to refuse.
    uri = "sqlite:///file:mlflow.db?mode=ro&uri=true"
    assert "read" in refused(track_here(MLFLOW_TRACKING_URI=uri))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_database(track_here: Track, track: Track) -> None:
    assert track_here().returncode == 0
    Path("mlflow.db").chmod(0o444)
    refused(track())


def test_a_database_that_is_none(track_here: Track) -> None:
    Path("mlflow.db").write_text("not a database" * 100)
    assert "mlflow.db" in refused(track_here())


def test_a_database_of_another_mlflow(track_here: Track, track: Track) -> None:
    assert track_here().returncode == 0
    with sqlite3.connect("mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    assert "mlflow db upgrade" in refused(track())


def test_a_locked_database_is_waited_for(track_here: Track) -> None:
    assert track_here().returncode == 0
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sqlite3, time\nc = sqlite3.connect('mlflow.db')\nc.execute('BEGIN IMMEDIATE')\n"
            "print('held', flush=True)\ntime.sleep(4)",
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    assert track_here().returncode == 0
    holder.wait()


def test_telemetry_is_off(project: Any) -> None:
    code = (
        "from pipeline.tracking.store import load_mlflow\nload_mlflow()\n"
        "from mlflow.telemetry import get_telemetry_client, utils\n"
        "assert utils.is_telemetry_disabled()\nassert get_telemetry_client() is None\n"
    )
    # MLflow is also silent where it sees a test or CI: those signs are taken away.
    signs = {"PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"}
    environment = {name: value for name, value in os.environ.items() if name not in signs}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    on = code.replace("from pipeline.tracking.store import load_mlflow\nload_mlflow()\n", "").replace(
        "client() is", "client() is not"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", on], env=environment, check=False).returncode != 0


@pytest.mark.slow
def test_four_processes_make_one_store(track: Track) -> None:
    code = "import sys; sys.argv=['x']; from pipeline.tracking.project import mirror; mirror('celldag')"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    started = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [process.wait() for process in started] == [0, 0, 0, 0]
    with sqlite3.connect("mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (7,)
