"""Running a program and measuring it: wall time and peak memory, as the operating system counts them."""

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.memory import MemoryCurve


@dataclass(frozen=True)
class Measured:
    """One finished process."""

    seconds: float  # from start to end, imports included
    cpu_seconds: float  # user and system, all threads
    peak_mib: float  # largest resident set
    curve: list[tuple[float, float]] = field(default_factory=list)  # seconds, MiB of it and its children together

    @property
    def tree_mib(self) -> float:
        """Most memory of the process and its children together; 0 where no curve was asked for."""
        return max((memory for _, memory in self.curve), default=0.0)


def environment() -> dict[str, str]:
    """Where this project's modules are found from any folder."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def measure(command: Sequence[str | Path], folder: Path, curve: bool = False) -> Measured:
    """Run `command` in `folder`; its output is shown only if it fails.

    On Linux a child's peak memory starts at its parent's: whoever calls this has to be small itself.
    """
    start = time.perf_counter()
    with (folder / "output.txt").open("w+b") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment())
        with MemoryCurve(process.pid) if curve else nullcontext() as memory:
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{(folder / 'output.txt').read_text()}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, memory.points if memory else [])


def load() -> str:
    """What else the machine was doing."""
    return f"load average before the run: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
