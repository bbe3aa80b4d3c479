"""One Snakemake job: `dvc repro` of one stage, then its stamp. Started as `python -m workflow.run_stage ADDRESS`."""

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.entry import escape_unprintable
from pipeline.core.errors import ExpectedError
from pipeline.core.signals import describe_end
from workflow.failures import write_failure
from workflow.lock import read_lock, repair_lock
from workflow.stamps import is_forced, write_stamp

if TYPE_CHECKING:
    from workflow.repair import Repaired

LOGS = Path(".snakemake/log/stages")  # what each stage printed in its last job
ENGINE_CHECK_SECONDS = 0.2
LINES_KEPT = 20  # of a failed stage, repeated when Snakemake ends

# Messages of DVC about git and its remote, hidden because they would repeat for every stage.
DVC_HINTS = (
    "Generating lock file",
    "Updating lock file",
    "To track the changes with git, run:",
    "\tgit add ",
    "To enable auto staging, run:",
    "\tdvc config core.autostage true",
    "Use `dvc push` to send your updates",
    "Data and pipelines are up to date.",
)


def log_path(address: str) -> str:
    """Path of the log of a stage's job, relative to the project root."""
    return str(LOGS / f"{address}.log")


def job_command(address: str) -> str:
    """The shell command of a stage's job, which takes the shell's place."""
    return f"exec {shlex.join([sys.executable, '-m', 'workflow.run_stage', address])}"


def run_stage(address: str) -> int:
    """Run one stage by DVC and write its stamp; DVC's exit code.

    Every line of output goes to the stage's log, and, since stages run in parallel, to the terminal with its address
    in front. Without `--wait-for-lock` a second DVC process gives up after 3 s, and a finished stage can go unrecorded.
    """
    command = [sys.executable, "-m", "workflow.job_dvc", "--wait-for-lock", "repro", "--single-item", address]
    command += ["--force"] * is_forced(address)
    environment = os.environ | {
        # Stages call `python`: the one that runs Snakemake, even if its environment is not activated.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
    }
    engine = os.getppid()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    # Ctrl-C reaches the stage and DVC as well; this process outlives them to report how they ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert process.stdout is not None
    log = Path(log_path(address))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    printer = threading.Thread(target=_print_lines, args=(address, process.stdout, log), daemon=True)
    printer.start()
    while process.poll() is None:
        try:
            process.wait(ENGINE_CHECK_SECONDS)
        except subprocess.TimeoutExpired:
            if os.getppid() != engine:  # Snakemake was killed: exit too, or the next call would find this one running
                process.kill()
    printer.join()
    if process.returncode == 0:
        write_stamp(address, read_lock().get(address, {}))
        return 0
    if process.returncode < 0:
        message = describe_end(f"the DVC that ran stage {address}", -process.returncode, again=f"dvc repro {address}")
        # Another DVC, running another stage, would treat a damaged file as empty.
        _print_lines(address, [message, *filter(None, [repair_lock()])], log)
    write_failure(address, log.read_text(encoding="utf-8").splitlines()[-LINES_KEPT:])
    return process.returncode


def open_gates(project: "Repaired") -> bool:
    """Run the gates that are not up to date; returns whether there were any. ExpectedError if one fails.

    As a Snakemake job, a gate would rerun everything downstream.
    """
    closed = [stage.address for stage in project.stages if stage.gate and stage.address in project.status]
    for address in closed:
        ended = subprocess.run([sys.executable, "-m", "workflow.run_stage", address], stdout=sys.stderr, check=False)
        if ended.returncode != 0:
            raise ExpectedError(f"{address} failed")
    return bool(closed)


def _print_lines(address: str, lines: Iterable[str], log: Path) -> None:
    with log.open("a", encoding="utf-8", buffering=1) as copy:
        for line in lines:
            if line.strip() and not line.startswith(DVC_HINTS):
                print(line.rstrip(), file=copy)
                print(f"[{address}] {line.rstrip()}", flush=True)


if __name__ == "__main__":
    escape_unprintable()
    sys.exit(run_stage(sys.argv[1]))
