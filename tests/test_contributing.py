"""Every command of CONTRIBUTING runs, in a fresh clone in another folder, and finds nothing to mend."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fresh_clone import ROOT, commands_in_text, fresh_clone, run, shown_otherwise, single_words, spans
from tests.test_readme import COMMANDS as COMMANDS_OF_README
from tests.test_readme import INLINE as INLINE_OF_README
from tests.test_readme import shown

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COMMANDS = commands_in_text(PAGE)
OF_CI = {"sh tests/engines/install_clusters"}  # which CI runs first; elsewhere it may not be permitted
OF_README = {"make test", "dvc repro", "python -m pipeline new PATH"}  # run by tests/test_readme.py
OF_DVC = "python -m pipeline.stage <system>.<stage>"
MYPY_CACHE = ".mypy_cache"
NO_COMMANDS = {
    "system -> report, tracking, training, metrics -> nn, data -> core",
    "run(settings, at)",
    "run_study_stage(SECTION, run)",
    "run_study_stage(SECTION, run, trains=True)",
    "cache: false",
    "template: curve_per_seed",
    ".of(settings, sizes…)",
    "forward(batch, generator)",
}


@pytest.mark.slow
def test_every_command_runs_and_leaves_the_project_as_it_is(tmp_path: Path) -> None:
    clone = fresh_clone(tmp_path / "celldag")
    if (ROOT / MYPY_CACHE).is_dir():  # as after `make check`: by hashes of contents, so an error is found all the same
        shutil.copytree(ROOT / MYPY_CACHE, clone / MYPY_CACHE)
    before = state(clone)
    here = [command for command in dict.fromkeys(COMMANDS) if command not in OF_CI | OF_README | {OF_DVC}]
    assert {"make format", "make generate", "make check"} < set(here)
    for command in here:
        run(command, clone)
    assert state(clone) == before


def test_there_are_no_others() -> None:
    assert set(spans(PAGE)) == {*COMMANDS, *NO_COMMANDS}
    assert not shown_otherwise(PAGE)  # all are in the running text
    assert not single_words(PAGE)


def test_the_others_run_elsewhere() -> None:
    assert OF_CI | OF_README | {OF_DVC} <= set(COMMANDS)
    assert set((ROOT / ".ci/run").read_text().splitlines()) >= OF_CI
    assert {"dvc repro", "make test"} < {*INLINE_OF_README, *COMMANDS_OF_README}
    assert shown("new").startswith("python -m pipeline new cells.h5ad\n")
    assert re.search(r"cmd: python -m pipeline\.stage cfm_vc\.vae_pretrain\n", (ROOT / "dvc.yaml").read_text())


def state(clone: Path) -> str:
    return subprocess.run(["git", "diff"], cwd=clone, capture_output=True, text=True, check=True).stdout
