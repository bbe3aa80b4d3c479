"""How a launched stage ends, and what is said of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.signals import describe_end

ROOT = Path(__file__).parents[1]

# In the place of a stage's module, a line of code that the launched process runs.
LAUNCH = """
import os, runpy, signal, sys, time
from pipeline import stage
runpy.run_module = lambda *_, **__: exec(sys.argv[1])
stage.module_file = lambda name: name
stage.verified = lambda name: {{}}  # it has no manifest
sys.exit(stage.main(["fit", {code!r}]))
"""


def launch(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LAUNCH.format(code=code)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "DVC_STAGE"} | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_exit_code_is_the_stages(tmp_path: Path) -> None:
    ended = launch("sys.exit(3)", tmp_path)
    assert (ended.returncode, ended.stderr) == (3, "")


def test_native_code_that_fails_is_named_with_the_machine_and_the_line_of_python(tmp_path: Path) -> None:
    ended = launch("os.abort()", tmp_path)
    assert ended.returncode == 128 + signal.SIGABRT
    assert "Fatal Python error: Aborted" in ended.stderr  # faulthandler
    assert "error: stage fit" in ended.stderr
    assert "was ended by SIGABRT: native code failed" in ended.stderr
    assert "try: DNNL_MAX_CPU_ISA=SSE41" in ended.stderr


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGKILL", "SIGTERM"])
def test_the_exit_code_of_a_stage_that_a_signal_ended_tells_which(name: str, tmp_path: Path) -> None:
    ended = launch(f"os.kill(os.getpid(), signal.{name}); time.sleep(60)", tmp_path)
    assert ended.returncode == 128 + getattr(signal, name)
    assert "error: stage fit" in ended.stderr
    assert f"was ended by {name}: " in ended.stderr
    assert "(alone: dvc repro fit" in ended.stderr
    assert ("machine: " in ended.stderr) == (name in ("SIGSEGV", "SIGILL"))
    assert ("memory: it held up to" in ended.stderr) == (name == "SIGKILL")


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    ended = launch("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", tmp_path)
    assert ended.returncode == 128 + signal.SIGINT
    assert ended.stderr.count("\n") == 1
    assert "interrupted; the next call resumes from its last checkpoint" in ended.stderr


def test_a_stage_ends_with_its_launcher(tmp_path: Path) -> None:
    ended = launch("os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)", tmp_path)  # waits for the stage's pipes too
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["no_such_stage", "../x", ""])
def test_a_stage_that_there_is_not_is_refused(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.stage", *([name] if name else [])]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: no stage")
    assert "Traceback" not in ended.stderr


def test_sigkill_most_likely_means_memory() -> None:
    lines = describe_end("stage fit", signal.SIGKILL, 5120.0, "dvc repro fit").splitlines()
    assert lines[0].startswith("error: stage fit was ended by SIGKILL: most likely the system ran out of memory")
    assert lines[1] == "  memory: it held up to 5120 MB"
    assert "fewer jobs" in lines[2]
    assert "(alone: dvc repro fit)" in lines[2]


@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV", "SIGILL", "SIGBUS", "SIGFPE"])
def test_native_signals_name_the_libraries(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    message = describe_end("stage fit", getattr(signal, name))
    assert f"ended by {name}: native code" in message
    assert "DNNL_MAX_CPU_ISA=AVX2" in message
    assert "torch " in message
