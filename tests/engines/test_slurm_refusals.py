"""What profiles/slurm refuses before its first job: no SLURM, and what SLURM would never start."""

import os
import re
from pathlib import Path

import pytest

from tests.engines.small_project import SUBMIT, Project

pytestmark = pytest.mark.slow

OF_SLURM = ("sbatch", "squeue", "scancel", "sinfo", "scontrol", "sacct", "srun")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--set-resources", "last:slurm_partition=nope"],
            "error: SLURM would not take last with .*--partition=nope: invalid partition specified.*there are main",
        ),
        (
            ["--set-resources", "last:slurm_partition=shutdown"],
            "error: SLURM would not take last with .*--partition=shutdown: invalid partition specified.*there are main",
        ),
        (
            ["--set-resources", "left:mem_mb=1", "first:mem_mb=99999999"],
            "error: SLURM would not take first with .*mem=",
        ),
        (
            ["--set-resources", "last:runtime=1441"],
            r"error: SLURM would never start last: .* 1441 minutes, is above that of partition main \(1-00:00:00\)",
        ),
        (
            ["--default-resources", "runtime=1441", "slurm_partition=main", "--set-resources", "first:runtime=1440"],
            r"error: SLURM would never start \S+: .* 1441 minutes, is above that of partition main \(1-00:00:00\)",
        ),
    ],
)
def test_what_slurm_would_never_start_is_said_before_the_first_job(
    submitted: Project, options: list[str], sentence: str
) -> None:
    done = submitted.call(*SUBMIT, *options)
    assert done.returncode == 2, done.stdout + done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert re.match(sentence, error)
    assert "Traceback" not in done.stderr
    assert "Submitted" not in done.stderr
    assert submitted.ran() == []


def test_without_slurm_one_sentence_says_so_and_a_dry_run_needs_none(project: Project) -> None:
    programs = project.beside / "programs"
    programs.mkdir()
    for program in [path for folder in ("/usr/bin", "/bin") for path in Path(folder).iterdir()]:
        if program.name not in OF_SLURM and not (programs / program.name).exists():
            (programs / program.name).symlink_to(program)
    environment_of_snakemake = project.environment["PATH"].split(os.pathsep)[0]
    project.environment["PATH"] = os.pathsep.join([environment_of_snakemake, str(programs)])
    done = project.call(*SUBMIT)
    assert done.returncode == 2, done.stdout + done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert sentence.startswith("error: profiles/slurm: sbatch, squeue, sinfo, scancel not found on ")
    assert "Traceback" not in done.stderr
    dry = project.call(*SUBMIT, "--dry-run")
    assert dry.returncode == 0, dry.stdout + dry.stderr
    assert project.ran() == []
