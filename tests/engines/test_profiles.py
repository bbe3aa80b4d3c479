"""The profiles: one machine without a word, a cluster with one option."""

import os
import re

import pytest

from tests.engines import fake_slurm
from tests.engines.small_project import Project

pytestmark = pytest.mark.slow


def test_stages_are_submitted_to_slurm_and_ask_for_what_meta_says(project: Project) -> None:
    programs, jobs = project.beside / "slurm", project.beside / "jobs"
    fake_slurm.install(programs)
    jobs.mkdir()
    on_the_machine = project.environment.copy()
    project.environment["PATH"] = os.pathsep.join([str(programs), project.environment["PATH"]])
    project.environment["FAKE_SLURM"] = str(jobs)
    # Both sides want a GPU, and each ends only once the other has started: one GPU per job, not one for all.
    dvc_yaml = project.root / "dvc.yaml"
    dvc_yaml.write_text(
        dvc_yaml.read_text().replace(
            '${key}.json"]\n      meta: {threads: 1, mem_mb: 100, gpu: 0}',
            '${key}.json"]\n      meta: {threads: 1, mem_mb: 100, gpu: 1}',
        )
    )
    (project.beside / "meet").touch()

    # The plugin first asks for a job's state after so many seconds, and then ever more rarely.
    often = ["--slurm-init-seconds-before-status-checks", "8"]
    done = project.call("snakemake", "--profile", "profiles/slurm", *often, "side@left", "side@right", "lonely")
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.ran() == ["first", "left", "lonely", "right"]
    submitted = {
        re.search(r"--comment\nrule_(.+)", arguments)[1]: arguments
        for arguments in (path.read_text() for path in jobs.glob("*/arguments"))
    }
    assert set(submitted) == {"first", "side@left", "side@right", "lonely"}
    assert "--cpus-per-task=2" in submitted["first"]
    assert "--mem\n100" in submitted["first"]
    assert "--mem\n1000" in submitted["lonely"], "the default, where there is no meta"
    assert "-t\n240" in submitted["first"]
    assert "gpu" in submitted["side@left"].replace("rule_side", "").split("--wrap")[0]
    assert "gpu" not in submitted["first"].split("--wrap")[0]

    # On a node Snakemake calls itself with --force, which forces nothing; what the user forces reaches the node.
    done = project.call("snakemake", "--profile", "profiles/slurm", *often, "side@left", "--forcerun", "first")
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.ran() == ["first"]

    project.environment = on_the_machine
    project.run("snakemake")
    assert project.ran() == ["last"]
    project.assert_nothing_to_do()
