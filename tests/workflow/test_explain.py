"""Why a stage would run: what changed, from what to what."""

import re
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.core.errors import ExpectedError
from workflow.explain import explain
from workflow.repair import repair


def explained() -> dict[str, tuple[bool | None, list[str]]]:
    return {explanation.address: (explanation.runs, list(explanation.reasons)) for explanation in explain(repair())}


def test_before_the_first_run(project: Path) -> None:
    assert explained() == {
        "load@cells": (True, ["it has never run"]),
        "fit": (True, ["it has never run", "it comes after load@cells"]),
        "page": (True, ["it has never run", "it comes after fit"]),
    }


def test_after_a_run_all_is_up_to_date(finished: Path) -> None:
    assert {address: runs for address, (runs, _) in explained().items()} == {
        "load@cells": False,
        "fit": False,
        "page": False,
    }


def test_a_changed_parameter_is_named_with_both_values(finished: Path, set_latent) -> None:
    set_latent(8)
    assert explained()["fit"] == (True, ["parameter fit.latent: 16 -> 8"])


def test_a_changed_code_file_and_a_changed_data_file_are_told_apart(finished: Path) -> None:
    (finished / "code.py").write_text("# v2\n")
    (finished / "raw.csv").write_text("2\n")
    found = explained()
    assert re.fullmatch(r"data raw\.csv: [0-9a-f]{8} -> [0-9a-f]{8}", found["load@cells"][1][0])
    assert re.fullmatch(r"code code\.py: [0-9a-f]{8} -> [0-9a-f]{8}", found["fit"][1][0])


def test_a_stage_after_a_changed_one_may_run(finished: Path) -> None:
    (finished / "code.py").write_text("# v2\n")
    assert explained()["page"] == (None, ["it comes after fit"])


def test_a_missing_output_and_one_changed_by_hand(finished: Path) -> None:
    (finished / "fit.txt").unlink()
    (finished / "score.json").write_text('{"score": 1}')
    assert explained()["fit"][1] == ["output missing: fit.txt", "output changed by hand: score.json"]


def test_a_missing_input_that_no_stage_makes(finished: Path) -> None:
    (finished / "raw.csv").unlink()
    assert explained()["load@cells"] == (True, ["input missing, and no stage makes it: raw.csv"])


def test_a_changed_command(finished: Path) -> None:
    dvc_yaml = finished / "dvc.yaml"
    dvc_yaml.write_text(dvc_yaml.read_text().replace("cat fit.txt > page.txt", "cat fit.txt >page.txt"))
    assert explained()["page"] == (True, ["command: cat fit.txt > page.txt -> cat fit.txt >page.txt"])


def test_new_and_vanished_parameters(finished: Path) -> None:
    params = finished / "params.yaml"
    params.write_text(params.read_text().replace("widths:", "depths:"))
    reasons = explained()["fit"][1]
    assert reasons == ["parameter fit.depths: new, [8, 8]", "parameter fit.widths: gone, was [8, 8]"]


def test_one_stage_can_be_asked_for(finished: Path) -> None:
    assert [explanation.address for explanation in explain(repair(), "fit")] == ["fit"]
    with pytest.raises(ExpectedError, match="did you mean 'fit'"):
        explain(repair(), "fitt")


def test_what_comes_after_a_gate_does_not_run_because_of_it(finished: Path, set_latent) -> None:
    dvc_yaml = finished / "dvc.yaml"
    gate = "check: {cmd: touch checked.txt, params: [params.yaml: ], outs: [checked.txt], meta: {gate: true}}"
    text = dvc_yaml.read_text().replace("stages:\n", f"stages:\n  {gate}\n")
    dvc_yaml.write_text(text.replace('deps: ["${item.source}"]', 'deps: ["${item.source}", checked.txt]'))
    with Repo() as repo:
        repo.reproduce()
    set_latent(8)
    assert "check" in repair().status
    assert "check" not in explained()
    assert explained()["load@cells"] == (False, [])
