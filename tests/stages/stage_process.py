"""Stages as the engines run them: a process in a project folder."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(folder: Path, *command: str) -> "subprocess.Popen[str]":
    """A module and its arguments, both outputs in one."""
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder: Path, *command: str, code: int = 0) -> str:
    """What it says, once it has ended with this exit code."""
    process = start(folder, *command)
    output, _ = process.communicate()
    assert process.returncode == code, output
    assert "Traceback" not in output
    return output


def written(folder: Path) -> dict[str, bytes]:
    """Content of every file under models and reports."""
    files = [file for place in ("models", "reports") for file in sorted((folder / place).rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def ingest(project: Path, *, kind: str) -> "subprocess.CompletedProcess[str]":
    """ingest@<kind>, its outputs apart."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipeline.stages.ingest", kind]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def assert_ingest_refused(project: Path, *words: str, kind: str) -> None:
    """Exit code 2, one message with these words, the previous result as it was, nothing beside it."""
    done = ingest(project, kind=kind)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    raw = project / "data/raw"
    assert [str(path.relative_to(raw)) for path in raw.rglob("*")] == [kind, f"{kind}/source.json"]
    assert (raw / kind / "source.json").read_text() == "previous"
