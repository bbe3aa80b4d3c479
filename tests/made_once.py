"""What several tests read is made once, for all workers."""

import fcntl
import os
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker to ask for it fills; the others wait. Not to be written to by a test."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            partial = factory.mktemp(name)
            with chdir(partial):
                make(partial)
            partial.rename(place)
    return place
