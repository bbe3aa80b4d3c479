"""As much of SLURM as Snakemake's plugin calls, on this machine: every submitted job really runs, in the background.

Installed under the names of SLURM's programs; FAKE_SLURM is the folder that holds one subfolder per job.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAMS = ("sbatch", "srun", "sacct", "squeue", "scancel", "sinfo", "scontrol", "sacctmgr", "sshare")


def install(folder: Path) -> None:
    """Make the programs in `folder`, to be put on the PATH."""
    folder.mkdir(parents=True)
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {name} "$@"\n')
        program.chmod(0o755)


def sbatch(arguments: list[str]) -> None:
    """Start the job and print its id; its exit code decides its state."""
    jobs = Path(os.environ["FAKE_SLURM"])
    folder = Path(tempfile.mkdtemp(prefix=f"{len(list(jobs.iterdir())) + 1:03d}_", dir=jobs))
    identifier = folder.name.split("_")[0].lstrip("0")
    (folder / "arguments").write_text("\n".join(arguments))
    (folder / "script").write_text(next(a.removeprefix("--wrap=") for a in arguments if a.startswith("--wrap=")))
    log = arguments[arguments.index("--output") + 1].replace("%j", identifier)
    body = f"sh {folder}/script >{log} 2>&1; echo $? >{folder}/partial; mv {folder}/partial {folder}/exit_code"
    environment = os.environ | {"SLURM_JOB_ID": identifier, "SLURM_CPUS_ON_NODE": "2"}
    null = subprocess.DEVNULL
    subprocess.Popen(["sh", "-c", body], env=environment, stdin=null, stdout=null, stderr=null, start_new_session=True)
    print(identifier)


def srun(arguments: list[str]) -> None:
    """Run the command in the place of this process."""
    command = [argument for index, argument in enumerate(arguments) if index >= _first_word(arguments)]
    os.execvp(command[0], command)


def _first_word(arguments: list[str]) -> int:
    return next(index for index, argument in enumerate(arguments) if not argument.startswith("-"))


def sacct(arguments: list[str]) -> None:
    """State of every job, as `--format=JobIdRaw,State --parsable2 --noheader` prints it."""
    if "--parsable2" not in arguments:
        return
    for folder in sorted(Path(os.environ["FAKE_SLURM"]).iterdir()):
        ended = folder / "exit_code"
        state = "RUNNING" if not ended.exists() else "COMPLETED" if ended.read_text().strip() == "0" else "FAILED"
        print(f"{folder.name.split('_')[0].lstrip('0')}|{state}")


def sinfo(arguments: list[str]) -> None:
    """One partition, the default one."""
    print("PARTITION\nmain*")


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    {"sbatch": sbatch, "srun": srun, "sacct": sacct, "sinfo": sinfo}.get(name, lambda _: None)(rest)
