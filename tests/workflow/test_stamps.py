"""A stamp is there exactly where DVC calls the stage up to date."""

import json
import subprocess
import sys
from pathlib import Path

from workflow.dag import read_stages, read_status
from workflow.lock import read_lock
from workflow.stamps import FOLDER, reconcile, show_failures, write_failure, write_stamp


def stamps() -> set[str]:
    return {path.name for path in FOLDER.rglob("*") if path.is_file()}


def addresses() -> list[str]:
    return [stage.address for stage in read_stages()]


def test_nothing_has_run_so_there_is_no_stamp(project: Path) -> None:
    reconcile(addresses(), read_status())
    assert stamps() == set()


def test_clean_stages_have_stamps_none_newer_than_another(finished: Path) -> None:
    write_stamp("fit", {})  # as after a job: newer than all others
    reconcile(addresses(), read_status())
    assert stamps() == {"load@cells", "fit", "page"}
    assert len({path.stat().st_mtime_ns for path in FOLDER.iterdir()}) == 1


def test_a_changed_stage_loses_its_stamp_and_a_stage_that_is_gone_too(finished: Path, set_latent) -> None:
    write_stamp("gone", {})
    set_latent(8)
    reconcile(addresses(), read_status())
    assert stamps() == {"load@cells"}  # page reads all parameters


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
    reconcile(addresses(), read_status())
    show_failures()
    assert capsys.readouterr().err == ""
