"""The default DAG as jobs of a real SLURM on this machine, beside `snakemake --cores`: what going through SLURM costs.

    python -m benchmarks.slurm [--cores 2] [--kill]

Wants root and what tests/engines/install_clusters installs. Runs the last commit in a fresh clone for each way, one
after another, and prints a markdown table. Own times are those of the stages' processes; DVC's time before and after
each, paid either way, is not in them. On a busy machine the wall time divided by them compares better than the wall
time. With --kill there is one more run: Snakemake is killed (SIGKILL) in the middle and called again, and then a
training is cancelled (scancel), and all is called a third time. Results are compared with those of the first way, byte
for byte.
"""

import argparse
import datetime
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.processes import load
from tests.engines.default_project import TIMED
from tests.engines.slurm_cluster import Cluster, what_is_missing

ROOT = Path(__file__).parents[1]
SUBMIT = ["snakemake", "--profile", "profiles/slurm"]
PATIENCE_SECONDS = 3600
KILLED, CANCELLED = "vae_pretrain@pbmc-held_out-0", "flow_train@pbmc-held_out-0"  # one after the other


@dataclass(frozen=True)
class Run:
    """One run of the DAG, in as many calls as it took."""

    seconds: float
    own_seconds: float  # of all stages
    noticed: list[float]  # seconds from each job's exit code until Snakemake says so, in whole seconds of its clock
    results: dict[str, Any]  # hash by path
    status: str  # what `dvc status --json` says afterwards


class Clone:
    """A fresh clone of a commit, run by one way."""

    def __init__(self, folder: Path, commit: str, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = os.environ | environment
        self.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        subprocess.run(["git", "checkout", "--quiet", commit], cwd=folder, check=True)

    def start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        output = (self.folder.parent / f"{self.folder.name}.txt").open("ab")
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=output, stderr=output, process_group=0
        )

    def said(self) -> str:
        return (self.folder.parent / f"{self.folder.name}.txt").read_text()

    def wait(self, process: "subprocess.Popen[bytes]", expected: int = 0) -> None:
        if process.wait(PATIENCE_SECONDS) != expected:
            sys.exit(f"{self.folder.name} ended with {process.returncode}:\n{self.said()}")

    def measured(self, seconds: float) -> Run:
        notes = [json.loads(path.read_text()) for path in (self.folder / ".dvc/tmp/celldag/times").rglob("*.json")]
        stages = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        results = {
            out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"] if out["path"] not in TIMED
        }
        status = subprocess.run(
            ["dvc", "status", "--json"], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        own = sum(note["end"] - note["start"] for note in notes) / 1e9
        return Run(seconds, own, self._noticed(), results, status.stdout.strip())

    def _noticed(self) -> list[float]:
        said = re.findall(r"\[(\w+ \w+ +\d+ [\d:]+ \d+)\]\nFinished jobid: \d+ \(Rule: (\S+)\)", self.said())
        found = []
        for when, stage in said:
            ended = self.folder / ".snakemake/slurm/ended" / stage
            if ended.is_file():
                moment = datetime.datetime.strptime(when, "%a %b %d %H:%M:%S %Y").timestamp() + 0.5
                found.append(moment - ended.stat().st_mtime)
        return found

    def wait_for(self, cluster: Cluster, stage: str) -> str:
        """Id of a stage's job that has run for ten seconds."""
        patience = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < patience:
            running = cluster.call("squeue", "--noheader", "--states=running", "--format=%i %j").splitlines()
            for identifier, name in (line.split(maxsplit=1) for line in running):
                if name.strip() == f"celldag:{stage}":
                    time.sleep(10)
                    return identifier
            time.sleep(0.5)
        sys.exit(f"{stage} never ran:\n{self.said()}")


def undisturbed(clone: Clone, command: list[str]) -> Run:
    started = time.monotonic()
    clone.wait(clone.start(command))
    return clone.measured(time.monotonic() - started)


def killed(clone: Clone, cluster: Cluster) -> Run:
    """Three calls."""
    started = time.monotonic()
    first = clone.start(SUBMIT)
    clone.wait_for(cluster, KILLED)
    os.killpg(first.pid, signal.SIGKILL)
    clone.wait(first, expected=-signal.SIGKILL)
    second = clone.start(SUBMIT)
    cluster.call("scancel", clone.wait_for(cluster, CANCELLED))
    clone.wait(second, expected=1)
    clone.wait(clone.start(SUBMIT))
    taken_over = re.findall(r"^(\S+): job \d+ of an earlier call goes on$", clone.said(), re.MULTILINE)
    print(f"killed: taken over by the second call: {', '.join(taken_over)}; cancelled: {CANCELLED}\n", flush=True)
    return clone.measured(time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=2, help="of `snakemake --cores`, and of SLURM's node")
    parser.add_argument("--kill", action="store_true", help="one more run, killed and resumed")
    parser.add_argument("--folder", type=Path, help="keep the clones here (default: a temporary folder)")
    arguments = parser.parse_args()
    if problem := what_is_missing():
        parser.error(problem)
    # The same for all, as pages name it.
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    print(f"{load()}; SLURM's node has {arguments.cores} processors\n", flush=True)
    locally = ["snakemake", "--cores", str(arguments.cores)]
    ways = {f"`{' '.join(locally)}`": None, "SLURM": False, "SLURM with accounting": True}
    if arguments.kill:
        ways["SLURM, killed and resumed"] = False
    heads = ("way", "wall", "stages' own time", "wall / own", "exit code to its notice, mean (most)", "results")
    print(f"| {' | '.join([*heads, '`dvc status`'])} |\n|{'---|' * (len(heads) + 1)}", flush=True)
    kept = nullcontext(arguments.folder) if arguments.folder else tempfile.TemporaryDirectory()
    with kept as temporary:
        base: dict[str, Any] = {}
        for number, (way, accounting) in enumerate(ways.items()):
            folder = Path(temporary) / str(number)
            if accounting is None:
                run = undisturbed(Clone(folder, commit, {}), locally)
                base = run.results
            else:
                with Cluster(Path(temporary) / f"cluster{number}", accounting, cpus=arguments.cores) as cluster:
                    clone = Clone(folder, commit, cluster.environment)
                    run = killed(clone, cluster) if "killed" in way else undisturbed(clone, SUBMIT)
            other = [path for path in base.keys() | run.results.keys() if base.get(path) != run.results.get(path)]
            same = f"{len(other)} differ: {', '.join(sorted(other))}" if other else "the same"
            late = f"{statistics.mean(run.noticed):.1f} s ({max(run.noticed):.1f} s)" if run.noticed else ""
            ratio, status = run.seconds / run.own_seconds, "clean" if run.status == "{}" else run.status
            row = (way, f"{run.seconds:.0f} s", f"{run.own_seconds:.0f} s", f"{ratio:.2f}", late, same, status)
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
