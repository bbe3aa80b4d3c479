"""How long a call takes: its median and its 95th percentile over repeated calls."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

WARM_UP = 3  # calls whose time does not count


class Times(NamedTuple):
    """Of one call, in milliseconds."""

    p50: float
    p95: float


def timed(call: Callable[[], object], repeats: int) -> Times:
    """The times of `repeats` calls after three that do not count, by the clock on the wall."""
    for _ in range(WARM_UP):
        call()
    milliseconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        milliseconds.append((time.perf_counter() - start) * 1e3)
    return Times(*(float(value) for value in np.percentile(milliseconds, (50, 95))))
