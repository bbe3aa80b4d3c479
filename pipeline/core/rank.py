"""Which of the processes of one training this is. Nothing here imports torch.

RANK and WORLD_SIZE are set by whatever started the processes: this project's launcher, torchrun or accelerate. The
process of rank 0 is the first: it alone writes files and prints.
"""

import os
import sys
import time
from typing import NoReturn

from pipeline.core.errors import ExpectedError

ASK = "CELLDAG_ASK"  # number of the pipe by which a stage asks its launcher for several processes
MEETING = "CELLDAG_MEETING"  # a file where the processes of a launcher find each other
SPEAK_SECONDS = 3.0  # until a process other than the first says what ended it, if it has not been ended by then
LOST_SECONDS = 15.0


class LostProcessError(ExpectedError):
    """Another process of the training is gone: it says why, or its launcher does."""

    def __init__(self) -> None:
        super().__init__("another process of this training has ended, so this one cannot go on")


def processes() -> int:
    """How many processes work together; 1 where nothing says otherwise."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """The number of this one, from 0 on."""
    return _number("RANK", 0) if processes() > 1 else 0


def is_first() -> bool:
    """Whether this process writes files and prints: the only one, or the one of rank 0."""
    return rank() == 0


def let_others_speak(error: BaseException) -> None:
    """Return when it is this process's turn to say what ended it.

    What is wrong is often found by all, and who started them ends the others as soon as one has ended. So the first
    speaks at once, the others only if they are still there later; and what is lost without another process, last.
    """
    if isinstance(error, LostProcessError):
        time.sleep(LOST_SECONDS)
    elif not is_first():
        time.sleep(SPEAK_SECONDS)


def be_one_of(count: int, number: int, meeting: str) -> None:
    """Make this process, which has not started to work, number `number` of `count`."""
    os.environ |= {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        MEETING: meeting,
    }


def be_quiet() -> None:
    """Unless this is the first process, print nothing on standard output, and no bar."""
    if not is_first():
        os.environ["TQDM_DISABLE"] = "1"
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def can_ask() -> bool:
    """Whether a launcher listens, and has not started several processes already."""
    return ASK in os.environ and processes() == 1


def ask_for(count: int, threads: int) -> NoReturn:
    """End this process, and have its launcher start so many in its place."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count * threads > cores:
        print(
            f"warning: {count} processes of {threads} {'thread' if threads == 1 else 'threads'} each share {cores} "
            f"{'core' if cores == 1 else 'cores'}: fewer would be faster",
            file=sys.stderr,
            flush=True,
        )
    os.write(int(os.environ[ASK]), str(count).encode())
    os._exit(0)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
