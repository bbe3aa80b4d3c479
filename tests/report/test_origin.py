"""Where committed results come from: their commands are of their commit, and the study of the same data exists."""

import json
from pathlib import Path

import pytest
import yaml

from pipeline.report.origin import STUDIES, made_by_commands, origin

ROOT = Path(__file__).parents[2]
COMMITTED = sorted((ROOT / "reports/measured").glob("*/*.json"))
ABOUT = {
    "commands": ["python -m benchmarks.old cells.yaml"],
    "commit": "c" * 40,
    "data_sha256": "a" * 64,
    "study": "kang",
    "changed": {"vae": {"epochs": 50}},
}


def test_a_command_is_said_to_be_of_its_commit():
    facts = dict(origin(ABOUT))
    assert facts["Made by"] == f"python -m benchmarks.old cells.yaml, at commit {'c' * 40}"
    assert facts["Changed parameters"] == "vae.epochs 50"
    assert "Machine" not in facts
    assert dict(origin(ABOUT | {"machine": "a processor"}))["Machine"] == "a processor"
    said = f"Made by `python -m benchmarks.old cells.yaml`, at commit {'c' * 40}."
    assert made_by_commands(ABOUT) == f"{said} The same data now are the study `kang` of `{STUDIES}`."


def test_uncommitted_changes_several_commands_and_todays_study_are_named():
    about = {**ABOUT, "commit": "c" * 40 + "-dirty", "commands": ["one", "two"], "changed": {}}
    facts = dict(origin(about))
    assert facts["Made by"] == f"one, then two, at commit {'c' * 40}, with uncommitted changes"
    assert facts["Changed parameters"] == "none"
    assert facts["Same data now"] == f"the study kang of {STUDIES}"
    assert made_by_commands(about).endswith(f"The same data now are the study `kang` of `{STUDIES}`.")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_study_that_a_committed_table_names_is_of_the_same_data(path):
    about = json.loads(path.read_text())
    studies = yaml.safe_load((ROOT / STUDIES).read_text())[path.parent.name]["studies"]
    assert studies[about["study"]]["title"] == about["title"]
