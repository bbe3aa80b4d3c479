"""How fast a forecaster is to be: the goals set for it on Tenstorrent's hardware."""

from collections.abc import Iterable

GOALS = {"200 sequences/s under 30 ms": (200.0, 30.0), "800 sequences/s under 15 ms": (800.0, 15.0)}


def meets(found: Iterable[tuple[float, float]], sequences_per_second: float, milliseconds: float) -> bool:
    """Whether some batch size has at least this rate at less than this latency; found: (sequences/s, ms) of each."""
    return any(rate >= sequences_per_second and time < milliseconds for rate, time in found)
