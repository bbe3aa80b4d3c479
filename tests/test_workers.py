"""Workers do what one process would, in the same order, and none outlives the stage or a failure."""

import contextlib
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.core.errors import ExpectedError, expected_error
from pipeline.core.workers import start_workers


@contextlib.contextmanager
def ten() -> Iterator[int]:
    """What the workers of these tests have open."""
    yield 10


def slower_at_first(opened: int, task: int) -> tuple[int, int]:
    time.sleep(0.2 if task == 0 else 0)
    return opened * task, os.getpid()


def slow(_: int, task: int) -> int:
    time.sleep(0.1)
    return task


def fail(_: int, how: str) -> int:
    if how == "expected":
        raise ExpectedError("cells.h5ad is damaged: fetch it again")
    if how == "full":
        raise OSError(28, "No space left on device", "part-00001.parquet")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(7)
    if how == "bug":
        raise ZeroDivisionError("of a test")
    time.sleep(60)
    return 0


def of_this_process() -> list[psutil.Process]:
    """Its workers; other tests may have left processes of libraries that wait for more to do."""
    children = [(child, child.as_dict(["cmdline"])["cmdline"]) for child in psutil.Process().children(recursive=True)]
    return [child for child, words in children if any("pipeline.core.workers" in word for word in words or [])]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(count: int) -> None:
    with start_workers(count, ten, 10) as workers:
        for _ in range(2):  # pass after pass
            found = list(workers.each(slower_at_first, range(7)))
            assert [number for number, _ in found] == [10 * task for task in range(7)]
        processes = {process for _, process in found}
    assert (processes == {os.getpid()}) if count == 1 else (1 < len(processes) <= count)
    assert not of_this_process()


def test_a_task_is_made_when_a_worker_is_free_for_it() -> None:
    made = []

    def tasks() -> Iterator[int]:
        for task in range(1, 11):
            made.append(task)
            yield task

    with start_workers(2, ten, 10) as workers:
        list(workers.each(slow, [0, 0]))  # both have started
        results = workers.each(slow, tasks())
        next(results)
        assert len(made) < 10
        assert len(list(results)) == 9


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("expected", r"^cells.h5ad is damaged: fetch it again$"),
        ("full", r"part-00001\.parquet.*the disk is full: free some space"),
        ("killed", r"worker .* ended by SIGKILL \(most likely the system ran out of memory.*fewer workers"),
        ("exit", "worker .* ended with exit code 7"),
    ],
)
def test_the_first_failure_ends_all_with_one_sentence(how: str, message: str) -> None:
    began = time.monotonic()
    with start_workers(3, ten, 10) as workers:
        with pytest.raises((ExpectedError, OSError)) as raised:
            list(workers.each(fail, ["wait", how, "wait"]))
        assert not of_this_process(), "nothing may write any more when the failure is dealt with"
    problem = expected_error(raised.value)
    assert problem is not None
    assert problem.__class__ is ExpectedError
    assert re.search(message, str(problem)), problem
    assert "\n" not in str(problem)
    assert time.monotonic() - began < 50, "and does not wait for the others"


def test_a_bug_shows_where_it_is() -> None:
    with (
        start_workers(2, ten, 10) as workers,
        pytest.raises(RuntimeError, match=r"ZeroDivisionError: of a test") as raised,
    ):
        list(workers.each(fail, ["bug"]))
    assert expected_error(raised.value) is None


def broken() -> Any:
    raise ExpectedError("no such file")


def test_what_cannot_be_opened_is_told_as_well() -> None:
    with start_workers(2, broken, None) as workers, pytest.raises(ExpectedError, match="no such file"):
        list(workers.each(fail, ["wait"]))


PROGRAM = """
import sys
from pipeline.core.entry import guarded
from pipeline.core.workers import start_workers
from tests.test_workers import fail, ten

def stage():
    with start_workers(2, ten, 10) as workers:
        print("started", flush=True)
        list(workers.each(fail, ["wait", "wait"]))

guarded(stage)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGINT, 130)])
def test_no_worker_outlives_its_stage(number: int, code: int) -> None:
    root = Path(__file__).parents[1]
    stage = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert stage.stdout is not None
    assert stage.stdout.readline() == b"started\n"
    workers = psutil.Process(stage.pid).children()
    assert len(workers) == 2
    time.sleep(1)  # until they are at work
    if number == signal.SIGINT:
        os.killpg(stage.pid, number)  # as a terminal does
    else:
        os.kill(stage.pid, number)
    _, said = stage.communicate(timeout=120)
    assert stage.returncode == code
    assert said == (b"interrupted\n" if number == signal.SIGINT else b"")
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE] == []


def imported(_: int, module: str) -> str:
    return importlib.import_module(module).__name__


IMPORTS = """
from tests.test_workers import imported, ten
from pipeline.core.errors import ExpectedError
from pipeline.core.manifest_imports import import_only
from pipeline.core.workers import start_workers

import_only("cfm_vc.preprocess", {})
with start_workers(2, ten, 10) as workers:
    try:
        print(*workers.each(imported, ["json", "pipeline.data.pieces"]))
    except ExpectedError as error:
        print(error)
"""


def test_a_worker_imports_no_other_code_than_its_stage_may() -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", IMPORTS], cwd=root, capture_output=True, text=True, check=True)
    assert re.search(r"pipeline/data/\w+\.py \(new\)", done.stdout), done
