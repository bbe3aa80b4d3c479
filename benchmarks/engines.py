"""What the two engines cost: the default DAG from clean, and a call with nothing to do.

    python -m benchmarks.engines [--repeats 5] [--cores 2]

Runs the last commit in a fresh clone with this environment and prints a markdown table. Times are those of whole
processes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.processes import load

ROOT = Path(__file__).parents[1]


def seconds(command: list[str], folder: Path) -> float:
    """Wall time of a command that must succeed; its output is shown where it does not."""
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    started = time.perf_counter()
    ended = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    took = time.perf_counter() - started
    if ended.returncode:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="calls with nothing to do, of which the median is shown")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    snakemake = ["snakemake", "--cores", str(arguments.cores)]

    print(f"{load()}; {arguments.cores} cores, median of {arguments.repeats} calls, the whole DAG once\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        rows = [("the default DAG from clean, by Snakemake", seconds(snakemake, folder), 180.0)]
        for command, reach in (
            (["dvc", "repro"], 4.0),
            (snakemake, 10.0),
            (["dvc", "status"], None),
            (["python", "-m", "pipeline", "explain"], None),
        ):
            times = [seconds(command, folder) for _ in range(arguments.repeats)]
            rows.append((f"`{' '.join(command)}` with nothing to do", statistics.median(times), reach))

    print("| what | seconds | reach |\n|---|---|---|")
    for what, took, reach in rows:
        print(f"| {what} | {took:.1f} | {'' if reach is None else f'<= {reach:g}'} |")


if __name__ == "__main__":
    main()
