"""A stage does not outlive the engine that started it, nor the launcher in between."""

import os
import signal
import threading
import time
from collections.abc import Sequence

import psutil

CHECK_SECONDS = 0.2


def engine_line() -> list[psutil.Process]:
    """The ancestors of this process up to the DVC that started it; empty where DVC did not.

    A stage's command goes through the user's shell, which stays between DVC and the stage (dash) or does not (bash).
    Every process down from the shell has DVC_STAGE in its environment; the first one up without it is DVC. Where DVC
    is gone already, so is this process.
    """
    if "DVC_STAGE" not in os.environ:
        return []
    line: list[psutil.Process] = []
    try:
        # By process number, not by psutil's `parents`, which stops where the clock was set back between two processes.
        number = os.getppid()
        # An orphan's parent is a reaper, of which we may be allowed to read only the number.
        while number and os.getsid(number) == os.getsid(0):
            line.append(psutil.Process(number))
            if "DVC_STAGE" not in line[-1].environ():
                return line
            number = line[-1].ppid()
    except psutil.AccessDenied:  # in our own session, so it is DVC with other rights
        return line
    except (psutil.NoSuchProcess, ProcessLookupError):  # DVC was killed while this process started
        pass
    os.kill(os.getpid(), signal.SIGKILL)
    return line


def any_is_gone(processes: Sequence[psutil.Process]) -> bool:
    """Whether one of the processes has ended; a zombie has."""
    return not all(_runs(process) for process in processes)


def end_with(processes: Sequence[psutil.Process]) -> None:
    """End this process as soon as one of these does.

    A killed `dvc repro` leaves its stage running. It would still write while the next call runs the same stage.
    Polling, since only Linux can signal a parent's death; SIGKILL, since nothing a stage writes needs tidying up.
    """

    def watch() -> None:
        while not any_is_gone(processes):
            time.sleep(CHECK_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="end_with", daemon=True).start()


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
