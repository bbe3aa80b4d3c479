"""Kill runs of the DAG at random and targeted moments, rerun, and compare: nothing may be lost.

    python -m benchmarks.kill_campaign --kills 120 --minutes 40 --seed 0
    python -m benchmarks.kill_campaign --dag default --kills 48 --minutes 30 --seed 0

Each trial runs the small project of tests/engines, from nothing or with the parameters of all stages changed, or the
default DAG of the last commit, its training cut short. The run is killed and called again a few times, and the last
call is left alone; before a plain `dvc repro` comes `python -m pipeline repair`. It is a fault where the last call
fails, a stage runs again that had ended, dvc.lock differs from that of a run that was never killed, or DVC still finds
something to do.

What is killed: the stage, its launcher, DVC, the engine alone, or its whole process group. When: after a random time,
while dvc.lock is empty or cut (DVC truncates it and writes it anew), while DVC's list of busy paths is, or as soon as a
stage has ended and DVC has not recorded it.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.engines.default_project import make_default
from tests.engines.small_project import Project, make

ENGINES = ("dvc", "snakemake")
WHOM = ("stage", "launcher", "dvc", "engine", "group")
MOMENTS = ("random", "dvc.lock empty", "dvc.lock cut", "busy list empty", "stage ended")
PADDING = 500  # parameters without a meaning, so that DVC takes as long to write dvc.lock as in a large project
PATIENCE_SECONDS = 90
POLL_SECONDS = 0.0005
STAGES = ("first", "left", "right", "last", "lonely")  # of the small project


@dataclass(frozen=True)
class Dag:
    kills: int  # in a trial
    longest_wait: float  # seconds before a kill at a random moment


DAGS = {"small": Dag(kills=3, longest_wait=12), "default": Dag(kills=8, longest_wait=30)}


@dataclass(frozen=True)
class Kill:
    engine: str
    moment: str
    whom: str
    wait: float  # seconds after the start before the moment is looked for


@dataclass
class Outcome:
    kills: list[Kill]  # those that hit something
    faults: list[str]


def main() -> None:
    """Run the trials and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dag", choices=DAGS, default="small")
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--minutes", type=float, default=40, help="start no trial after that")
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    rng = random.Random(arguments.seed)
    dag = DAGS[arguments.dag]
    trials = [_draw(dag, number, rng) for number in range(-(-arguments.kills // dag.kills))]
    with tempfile.TemporaryDirectory(prefix="kills_") as folder:
        bases, expected = (_small if arguments.dag == "small" else _default)(Path(folder))

        def attempt(number: int) -> Outcome | None:
            if time.monotonic() > end:
                return None
            base = bases[number // len(ENGINES) % len(bases)]
            project = _copy(base, Path(folder) / f"trial{number}")
            outcome = _run(trials[number], project, expected)
            print(number, base.beside.name, *outcome.kills, "; ".join(outcome.faults) or "ok", sep="\n  ", flush=True)
            shutil.rmtree(project.beside)
            return outcome

        with ThreadPoolExecutor(arguments.jobs) as pool:
            done = [outcome for outcome in pool.map(attempt, range(len(trials))) if outcome is not None]
    _print_table(done)
    sys.exit(any(outcome.faults for outcome in done))


def _small(folder: Path) -> tuple[list[Project], dict[str, Any]]:
    """The small project before its first run, and after one with other parameters; what dvc.lock must hold."""
    (folder / "fresh").mkdir()
    fresh = make(folder / "fresh")
    work = fresh.root / "pipeline/work.py"
    work.write_text(work.read_text().replace('log("end", name)', 'time.sleep(0.3); log("end", name)'))
    fresh.set(**{f"padding_{number:04d}": 0 for number in range(PADDING)})
    fresh.commit("Stages take a moment")
    reference = _copy(fresh, folder / "reference")
    reference.run("dvc")
    ran = _copy(fresh, folder / "ran")
    wanted = (ran.root / "params.yaml").read_text()
    ran.set(**{name: 500 + 10 * index for index, name in enumerate(STAGES)})
    ran.run("dvc")
    ran.commit("Results")
    ran.ran()
    assert ran.call("python", "-m", "pipeline", "repair").returncode == 0
    (ran.root / "params.yaml").write_text(wanted)
    return [fresh, ran], _locked(reference)


def _default(folder: Path) -> tuple[list[Project], dict[str, Any]]:
    """The default DAG in a fresh clone, which has a dvc.lock of other parameters and no data; what it must hold."""
    (folder / "fresh").mkdir()
    fresh = make_default(folder / "fresh")
    reference = _copy(fresh, folder / "reference")
    start = time.monotonic()
    reference.run("snakemake")
    print(f"{len(reference.ran())} stages, {time.monotonic() - start:.0f} s without a kill", flush=True)
    return [fresh], _locked(reference)


def _copy(project: Project, beside: Path) -> Project:
    return type(project)(shutil.copytree(project.beside, beside, symlinks=True))


def _draw(dag: Dag, number: int, rng: random.Random) -> list[Kill]:
    """The kills of a trial: engines, moments and victims in turn, so that all are met; times at random."""
    kills = []
    for turn in range(number * dag.kills, (number + 1) * dag.kills):
        moment = MOMENTS[turn % len(MOMENTS)]
        # Whatever is half written, DVC was writing it.
        victims = WHOM if moment == "random" else ("dvc", "engine", "group")
        whom = victims[turn // len(MOMENTS) % len(victims)]
        wait = rng.uniform(1, dag.longest_wait) if moment == "random" else 1
        kills.append(Kill(ENGINES[number % 2], moment, whom, wait))
    return kills


def _run(kills: list[Kill], project: Project, expected: dict[str, Any]) -> Outcome:
    """One trial."""
    outcome = Outcome([], [])
    ended: set[str] = set()

    def look_for_losses() -> None:
        lost = sorted(set(project.ran()) & ended)
        if lost:
            outcome.faults.append(f"ran again though they had ended: {', '.join(lost)}")

    for kill in kills:
        process = project.start(kill.engine)
        if _kill(kill, project, process):
            outcome.kills.append(kill)
        _wait_until_idle(project, process)
        look_for_losses()
        ended |= _ended(project)
        if kill.engine == "dvc":
            repaired = project.call("python", "-m", "pipeline", "repair")
            if repaired.returncode != 0:
                outcome.faults.append(f"repair: {(repaired.stdout + repaired.stderr).strip()[-600:]}")
    again = project.call(*project.command(kills[-1].engine))
    if again.returncode != 0:
        outcome.faults.append(f"the last call exits {again.returncode}: {(again.stdout + again.stderr).strip()[-900:]}")
    look_for_losses()
    made = _locked(project)
    different = [address for address in expected | made if made.get(address) != expected.get(address)]
    if different:
        outcome.faults.append(f"recorded otherwise than by a run without kills: {', '.join(different)}")
    status = project.call("dvc", "status", "--json").stdout.strip()  # a process: trials run side by side in threads
    if status != "{}":
        outcome.faults.append(f"dvc status: {status}")
    return outcome


def _kill(kill: Kill, project: Project, process: "subprocess.Popen[bytes]") -> bool:
    """Whether the moment came before the run was over, and there was something to kill."""
    earliest = time.monotonic() + kill.wait
    latest = earliest + PATIENCE_SECONDS
    reached = _moment(kill.moment, project)
    while process.poll() is None and time.monotonic() < latest:
        if reached() and time.monotonic() >= earliest:
            os.killpg(process.pid, signal.SIGSTOP)  # so that the moment lasts until the victim is found
            victims = _victims(kill.whom, process)
            for victim in victims:
                victim.kill()
            os.killpg(process.pid, signal.SIGCONT)
            if victims:
                return True
        time.sleep(POLL_SECONDS)
    return False


def _moment(moment: str, project: Project) -> Callable[[], bool]:
    """Whether the moment has come, asked again and again."""
    if moment == "random":
        return lambda: True
    if moment == "stage ended":
        seen = _ended(project)
        return lambda: bool(_ended(project) - seen)
    path = project.root / (".dvc/tmp/rwlock" if moment == "busy list empty" else "dvc.lock")
    whole = 0

    def is_short() -> bool:
        nonlocal whole
        size = path.stat().st_size if path.exists() else 0
        if size >= whole:
            whole = size
            return False
        return size > 0 if moment == "dvc.lock cut" else size == 0

    return is_short


def _victims(whom: str, process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    engine = psutil.Process(process.pid)
    below = engine.children(recursive=True)
    if whom == "engine":
        return [engine]
    if whom == "group":
        return [engine, *below]

    def of(word: str) -> list[psutil.Process]:
        found = []
        for child in [engine, *below]:
            try:
                if word in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.Error:
                continue
        return found

    if whom == "dvc":
        return [child for child in of("dvc") if "repro" in " ".join(child.cmdline())][-1:]
    launched = [child for child in of("pipeline.stage") if "-c" not in child.cmdline()]
    ids = {child.pid for child in launched}
    stages = [child for child in launched if child.ppid() in ids]
    return stages[:1] if whom == "stage" else [child for child in launched if child not in stages][:1]


def _ended(project: Project) -> set[str]:
    """Stages whose launcher has noted that they have ended."""
    notes = (project.root / ".dvc/tmp/celldag/finished").glob("*.json")
    try:
        return {path.stem.removeprefix("side@") for path in notes if path.stat().st_size > 10} - {"code"}
    except FileNotFoundError:
        return set()


def _wait_until_idle(project: Project, process: "subprocess.Popen[bytes]") -> None:
    """Wait for what the kill has left, as a user does before the second call."""
    if process.poll() is None:
        process.wait(timeout=project.timeout)  # where a stage alone was killed, the engine runs what it still can
    patience = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < patience and any(_is_inside(other, project.root) for other in psutil.process_iter()):
        time.sleep(0.1)


def _is_inside(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder)
    except psutil.Error:
        return False


def _locked(project: Project) -> dict[str, Any]:
    """What dvc.lock says of each stage: parameters and the hashes of all that it reads and writes, but for times."""
    stages = yaml.load((project.root / "dvc.lock").read_text(), Loader=yaml.CSafeLoader)["stages"]
    return {
        address: {
            part: [each for each in content if each["path"] not in project.timed]
            if part in ("deps", "outs")
            else content
            for part, content in entry.items()
        }
        for address, entry in stages.items()
    }


def _print_table(done: list[Outcome]) -> None:
    kills = Counter((kill.engine, kill.moment, kill.whom) for outcome in done for kill in outcome.kills)
    print("\n| engine | moment | killed | kills |\n|---|---|---|---|")
    for place, count in sorted(kills.items()):
        print(f"| {' | '.join(place)} | {count} |")
    faults = sum(len(outcome.faults) for outcome in done)
    print(f"\n{kills.total()} kills in {len(done)} trials, {faults} faults")


if __name__ == "__main__":
    main()
