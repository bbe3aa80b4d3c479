"""A stage does not outlive the engine that started it."""

import os
import signal
import threading
import time

CHECK_SECONDS = 0.2


def follow_engine() -> None:
    """Where DVC started this process, end it as soon as DVC is gone; otherwise do nothing.

    A killed `dvc repro` leaves its stage running. It would still write while the next call runs the same stage.
    Polling, since only Linux can signal a parent's death; SIGKILL, since nothing a stage writes needs tidying up.
    """
    if "DVC_STAGE" not in os.environ:
        return
    import psutil  # here, for a stage called by hand does without

    def is_gone(process: psutil.Process) -> bool:
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    # A stage's command goes through the user's shell, which stays between DVC and the stage (dash) or does not (bash).
    # Every process down from the shell has DVC_STAGE in its environment; the first one up without it is DVC.
    line: list[psutil.Process] = []
    try:
        for ancestor in psutil.Process().parents():
            line.append(ancestor)
            if "DVC_STAGE" not in ancestor.environ():
                break
    except psutil.NoSuchProcess:  # DVC was killed while this process started
        os.kill(os.getpid(), signal.SIGKILL)

    def watch() -> None:
        while not any(is_gone(process) for process in line):
            time.sleep(CHECK_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="follow_engine", daemon=True).start()
