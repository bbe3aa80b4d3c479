"""Memory of a process and all its descendants over time, as proportional set sizes: what they share counts once."""

import threading
import time
from pathlib import Path

import psutil

SECONDS = 0.25  # between samples


class MemoryCurve:
    """Sampled from another thread while the `with` block runs; `points` are (seconds, MiB)."""

    def __init__(self, process: int) -> None:
        self._process, self._ended = process, threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self.points: list[tuple[float, float]] = []

    def __enter__(self) -> "MemoryCurve":
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._sampler.join()

    def _sample(self) -> None:
        began = time.perf_counter()
        while not self._ended.wait(SECONDS):
            try:
                parent = psutil.Process(self._process)
                numbers = [self._process, *(child.pid for child in parent.children(recursive=True))]
                memory = sum(map(_kib, numbers)) / 1024
            except psutil.NoSuchProcess:
                return
            if memory:
                self.points.append((time.perf_counter() - began, memory))


def _kib(process: int) -> int:
    """Proportional set size; 0 of a process that has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
