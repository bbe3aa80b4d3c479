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
    engine = os.getppid()

    def watch() -> None:
        while os.getppid() == engine:
            time.sleep(CHECK_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="follow_engine", daemon=True).start()
