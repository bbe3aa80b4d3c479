"""Stages as the engines run them: a process in a project folder.

The processes are forked from one that has imported torch, pandas and their like, which takes seconds of each stage.
"""

import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUDIES = {"cfm_vc": "pbmc", "alphastomics": "tissue", "bayes_moe": "digits", "mole": "series"}  # of params.yaml
FORKSERVER = multiprocessing.get_context("forkserver")
# Of other projects alone: each process imports this project's modules itself.
FORKSERVER.set_forkserver_preload(
    [
        "torch",
        "accelerate",
        "safetensors.torch",
        "pandas",
        "pyarrow.parquet",
        "scipy.stats",
        "pydantic",
        "yaml",
        "anndata",
    ]
)


class StageProcess:
    """What the tests ask of a subprocess.Popen, of a stage whose outputs are in one."""

    def __init__(self, folder: Path, *command: str) -> None:
        self._arguments = ["python", "-m", *command]
        output, ours = FORKSERVER.Pipe(duplex=False)
        environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._process = FORKSERVER.Process(target=_run_module, args=(ours, folder, environment, command))
        self._process.start()
        ours.close()
        self.stdout = os.fdopen(os.dup(output.fileno()))
        output.close()

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self._arguments, timeout)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """What it says until it ends: no more than a pipe holds where there is a timeout."""
        if timeout is not None:
            self.wait(timeout)
        with self.stdout:
            output = self.stdout.read()
        self.wait()
        return output, None


def _run_module(output: Connection, folder: Path, environment: dict[str, str], command: tuple[str, ...]) -> None:
    """`python -m` in the new process."""
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(stream, "w"), write_through=True) for stream in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = list(command)
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


start = StageProcess


def run(folder: Path, *command: str, code: int = 0) -> str:
    """What it says, once it has ended with this exit code."""
    process = start(folder, *command)
    output, _ = process.communicate()
    assert process.returncode == code, output
    assert "Traceback" not in output
    return output


def kill_after(folder: Path, *command: str, said: str, times: int = 1) -> None:
    """Start a stage, and kill it when so many of its lines have held these words. A training's epoch has its checkpoint
    only when the next line is written."""
    process = start(folder, *command)
    assert process.stdout is not None
    for line in process.stdout:
        times -= said in line
        if times == 0:
            process.kill()
            times -= 1  # what is left in the pipe is read, and kills nothing
    assert process.wait() == -signal.SIGKILL, f"it ended before it said so: {said}"


def run_from_start(folder: Path, *command: str) -> str:
    """As `run`, by a new interpreter, which iterates over sets of texts in another order."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", *command]
    process = subprocess.run(
        arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


def written(folder: Path) -> dict[str, bytes]:
    """Content of every file under models and reports."""
    files = [file for place in ("models", "reports") for file in sorted((folder / place).rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def ingest(project: Path, *, system: str) -> "subprocess.CompletedProcess[str]":
    """ingest@<system>-<study>, of the study of params.yaml, its outputs apart."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"pipeline.{system}.stages.ingest", STUDIES[system]]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def assert_ingest_refused(project: Path, *words: str, system: str) -> None:
    """Exit code 2, one message with these words, the previous result as it was, nothing beside it."""
    done = ingest(project, system=system)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    raw, study = project / "data/raw", f"{system}/{STUDIES[system]}"
    assert [str(path.relative_to(raw)) for path in raw.rglob("*")] == [system, study, f"{study}/source.json"]
    assert (raw / study / "source.json").read_text() == "previous"
