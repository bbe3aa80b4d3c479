"""Cost of the two engines: the default DAG from clean, by each alone, and a call with nothing to do.

    python -m benchmarks.engines [--repeats 5] [--cores 2]

Runs the last commit in fresh clones, one for each engine, with this environment and prints a markdown table. Times are
those of whole processes. Snakemake runs first, so that cold file caches count against it.
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

    print(f"{load()}; {arguments.cores} cores, median of {arguments.repeats} calls, the whole DAG once by each\n")
    with tempfile.TemporaryDirectory() as temporary:
        folders = {name: Path(temporary) / name for name in ("snakemake", "dvc")}
        for folder in folders.values():
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        parallel, alone = seconds(snakemake, folders["snakemake"]), seconds(["dvc", "repro"], folders["dvc"])
        rows = [
            (f"the default DAG from clean, by `{' '.join(snakemake)}`", f"{parallel:.1f}", "<= 720"),
            ("the same by `dvc repro` alone", f"{alone:.1f}", ""),
            ("how many times faster Snakemake is", f"{alone / parallel:.2f}", ">= 1.5"),
        ]
        for command, reach in (
            (["dvc", "repro"], "<= 4"),
            (snakemake, "<= 10"),
            (["dvc", "status"], ""),
            (["python", "-m", "pipeline", "explain"], ""),
        ):
            times = [seconds(command, folders["snakemake"]) for _ in range(arguments.repeats)]
            rows.append((f"`{' '.join(command)}` with nothing to do", f"{statistics.median(times):.1f}", reach))

    print("| what | seconds | reach |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
