"""How a launched stage runs in several processes, and how these end: all of them, with one message."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.test_stage_launcher import ROOT

# In the place of a stage's module, lines of code that each of the processes runs once the first has asked for them.
LAUNCH = """
import os, runpy, signal, sys, time
from pathlib import Path
from pipeline import stage
from pipeline.core import rank
from pipeline.core.entry import guarded
from pipeline.core.errors import ExpectedError

def work():
    mine = rank.rank()
    {code}

def run(*_, **__):
    if rank.can_ask():
        rank.ask_for(2, 1)
    Path(f"{{rank.rank()}}.txt").write_text(str(os.getpid()))
    guarded(work)

runpy.run_module = run
stage.module_file = lambda name: name
stage.verified = lambda name: {{}}  # it has no manifest
sys.exit(stage.main(["fit"]))
"""
MEET = """
    import torch
    from pipeline.training.processes import Several
    several = Several(torch.device("cpu"))
    while True:
        several.gathered({"loss": torch.tensor(1.0)}, [])
        Path(f"meets_{mine}.txt").touch()
"""


@pytest.fixture
def launched(tmp_path):
    """Starts the launcher with code for `work`; whatever is left of it ends with the test."""
    started = []

    def launch(code: str, command: tuple[str, ...] = (sys.executable, "-c")) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
        started.append(
            subprocess.Popen(
                [*command, LAUNCH.format(code=code.strip())],
                cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            )
        )  # fmt: skip
        return started[-1]

    yield launch
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def number_of(folder: Path, rank: int) -> int:
    return int((folder / f"{rank}.txt").read_text())


def wait_for(*files: Path) -> None:
    until = time.monotonic() + 240
    while not all(file.exists() and file.stat().st_mtime for file in files):
        assert time.monotonic() < until, f"{files} did not appear"
        time.sleep(0.05)


def test_each_is_told_its_number_and_the_first_alone_prints(launched, tmp_path):
    process = launched("print('hello from', mine, rank.processes())")
    out, errors = process.communicate(timeout=240)
    assert (process.returncode, out, errors) == (0, "hello from 0 2\n", "")
    assert number_of(tmp_path, 0) != number_of(tmp_path, 1)


def test_more_than_the_cores_is_warned_of():
    asks = "from pipeline.core.rank import ask_for; import os; os.environ['CELLDAG_ASK'] = '1'; ask_for(200, 10)"
    ended = subprocess.run([sys.executable, "-c", asks], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "200"
    assert ended.stderr.startswith("warning: 200 processes of 10 threads each share ")
    assert ended.stderr.count("\n") == 1


def test_a_problem_that_all_find_is_told_once(launched):
    process = launched("raise ExpectedError('no store')")
    out, errors = process.communicate(timeout=240)
    assert (process.returncode, out, errors) == (2, "", "error: no store\n")


def test_a_problem_of_one_is_told_and_ends_the_other(launched, tmp_path):
    process = launched("if mine: raise ExpectedError('no store here')\n    time.sleep(600)")
    out, errors = process.communicate(timeout=240)
    assert (process.returncode, out, errors) == (2, "", "error: no store here\n")
    assert not psutil.pid_exists(number_of(tmp_path, 0))


def test_a_bug_of_one_ends_the_other_with_its_traceback(launched):
    process = launched("if mine: raise ValueError('a bug')\n    time.sleep(600)")
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 1
    assert errors.count("Traceback") == 1
    assert errors.endswith("ValueError: a bug\n")


def test_ctrl_c_ends_both_with_one_line(launched, tmp_path):
    process = launched("Path(f'works_{mine}.txt').touch(); time.sleep(600)")
    wait_for(tmp_path / "works_0.txt", tmp_path / "works_1.txt")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGINT
    assert errors == "fit: interrupted; the next call resumes from its last checkpoint\n"


def test_both_end_with_the_launcher(launched, tmp_path):
    process = launched("Path(f'works_{mine}.txt').touch(); time.sleep(600)")
    wait_for(tmp_path / "works_0.txt", tmp_path / "works_1.txt")
    process.kill()
    process.communicate(timeout=240)  # waits for their pipes too
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("killed", [0, 1])
def test_one_that_is_killed_while_they_train_ends_the_other_at_once(launched, tmp_path, killed):
    process = launched(MEET)
    wait_for(tmp_path / "meets_0.txt", tmp_path / "meets_1.txt")
    began = time.monotonic()
    os.kill(number_of(tmp_path, killed), signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert time.monotonic() - began < 10
    assert process.returncode == 128 + signal.SIGKILL
    assert errors.startswith("error: stage ")
    assert "was ended by SIGKILL" in errors
    assert errors.count("error: ") == 1
    assert "Traceback" not in errors


@pytest.mark.parametrize("killed", [0, 1])
def test_one_that_is_killed_under_torchrun_ends_the_other(launched, tmp_path, killed):
    script = tmp_path / "script.py"
    script.write_text(LAUNCH.format(code=MEET.strip()))
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script))
    process = launched("", torchrun)
    wait_for(tmp_path / "meets_0.txt", tmp_path / "meets_1.txt")
    os.kill(number_of(tmp_path, killed), signal.SIGKILL)
    _, errors = process.communicate(timeout=240)  # until all of them have closed their pipes
    assert process.returncode == 1  # torchrun's
    assert errors.count("was ended by SIGKILL") == 1
    assert "another process" not in errors


def test_a_stage_that_does_not_train_refuses_several(tmp_path):
    environment = os.environ | {"WORLD_SIZE": "2", "RANK": "0", "PYTHONPATH": str(ROOT)}
    run = "from pipeline.core.entry import run_stage; run_stage(None, lambda: print('runs'))"
    ended = subprocess.run(
        [sys.executable, "-c", run], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "error: this stage trains nothing and runs in one process: start it without torchrun or accelerate\n"
    )
