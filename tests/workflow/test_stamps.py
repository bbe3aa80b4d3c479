"""A stamp is there exactly where DVC calls the stage up to date."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.settings.types import DAGSettings

from workflow.dag import Stage, read_stages, read_status
from workflow.failures import show_failures, write_failure
from workflow.lock import read_lock
from workflow.records import forced_stages
from workflow.stamps import FOLDER, force, is_forced, reconcile, write_stamp


def stamps() -> set[str]:
    return {path.name for path in FOLDER.rglob("*") if path.is_file()}


def clean() -> list[Stage]:
    status = read_status()
    return [stage for stage in read_stages() if stage.address not in status]


def test_nothing_has_run_so_there_is_no_stamp(project: Path) -> None:
    reconcile(clean())
    assert stamps() == set()


def test_clean_stages_have_stamps_dated_when_they_finished(finished: Path) -> None:
    for when, out in enumerate(["cells.txt", "page.txt", "fit.txt", "score.json"], start=1_500_000_000):
        os.utime(out, (when, when))
    write_stamp("fit", {})  # as after a job: newer than all others
    reconcile(clean())
    dates = {path.name: path.stat().st_mtime for path in FOLDER.iterdir()}
    assert dates == {"load@cells": 1_500_000_000, "page": 1_500_000_001, "fit": 1_500_000_003}


def test_a_changed_stage_loses_its_stamp_and_a_stage_that_is_gone_too(finished: Path, set_latent) -> None:
    write_stamp("gone", {})
    set_latent(8)
    reconcile(clean())
    assert stamps() == {"load@cells"}  # page reads all parameters


def test_a_stage_is_forced_until_the_next_start(finished: Path) -> None:
    force(["load@cells"])
    assert (is_forced("load@cells"), is_forced("fit")) == (True, False)
    reconcile(clean())
    assert not is_forced("load@cells")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (DAGSettings(), []),
        (DAGSettings(targets={"fit"}), []),
        (DAGSettings(targets={"fit"}, forcetargets=True), ["fit"]),
        (DAGSettings(forcerun={"page", ".stamps/load@cells", "elsewhere"}), ["load@cells", "page"]),
        (DAGSettings(forceall=True), ["load@cells", "fit", "page"]),
    ],
)
def test_stages_are_forced_by_name_or_stamp(project: Path, settings: DAGSettings, named: list[str]) -> None:
    assert forced_stages(read_stages(), settings) == named


def test_a_stamp_holds_the_hashes_of_the_outs(finished: Path) -> None:
    path = write_stamp("fit", read_lock()["fit"])
    assert [out["path"] for out in json.loads(path.read_text())] == ["fit.txt", "score.json"]


def test_a_job_starts_without_dvc_itself() -> None:
    code = "import sys, workflow.run_stage; sys.exit(any(name.split('.')[0] == 'dvc' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_failures_are_shown_and_forgotten_at_the_next_start(finished: Path, capsys) -> None:
    write_failure("load@cells", ["epoch 3", "error: no counts"])
    show_failures()
    assert "failed: load@cells\n  epoch 3\n  error: no counts" in capsys.readouterr().err
    reconcile(clean())
    show_failures()
    assert capsys.readouterr().err == ""
