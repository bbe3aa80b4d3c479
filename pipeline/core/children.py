"""The child processes in which a launcher runs a stage: one, or several that train together."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from pipeline.core.rank import ASK, be_one_of


@dataclass(frozen=True)
class Ended:
    """code: the exit code, or minus the signal's number. peak: memory as the system reports it."""

    code: int
    peak: int


class Asked:
    """The pipe by which a stage, once it has read its settings, asks for several processes."""

    def __init__(self) -> None:
        """Before the stage's process is made, which inherits the pipe."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.environ[ASK] = str(self._write)

    def number(self) -> int:
        """Of the processes asked for, once the stage has ended; 0: none was."""
        del os.environ[ASK]
        os.close(self._write)
        try:
            return int(os.read(self._read, 20) or 0)
        except BlockingIOError:  # a process that the stage has left behind could still write
            return 0
        finally:
            os.close(self._read)


def together(count: int, start: Callable[[Callable[[], None]], int]) -> Ended:
    """Run so many processes; `start` makes one, which calls what it is given first, and returns its number."""
    with _meeting() as place:
        return first_to_fail([start(partial(be_one_of, count, number, place)) for number in range(count)])


def first_to_fail(children: Sequence[int]) -> Ended:
    """How the first child that fails has ended, once the others are killed; of the last one where all succeed."""
    running = set(children)
    while True:
        child, status, usage = os.wait4(-1, 0)
        running.discard(child)
        ended = Ended(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
        if ended.code or not running:
            break
    for other in running:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    return ended


@contextmanager
def _meeting() -> Iterator[str]:
    """A file by which processes find each other, where they need no port."""
    with tempfile.TemporaryDirectory(prefix="celldag-") as folder:
        yield f"{folder}/meeting"
