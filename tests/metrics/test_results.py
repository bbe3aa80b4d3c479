"""The table of results: what is written is read again, and what makes no sense is refused with a message."""

from dataclasses import replace

import pytest

from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.metrics.results import COLUMNS, DEFAULT, Row, check, difference_name, read_results, write_results

AT = StudyPaths("toy", "cells")
ROWS = [
    Row("cytokine in CD4+/CD25, T", "net", "model", "mse", 0.1 + 0.2, 0.1, 0.5, seed=0),
    Row("cytokine in CD4+/CD25, T", "net", "model", "mse", None, seed=1),
    Row("all", "NA", "baseline", "mse", 1e-19),
    Row("all", difference_name("net", "NA"), "difference", "mse", -1.0, -2.0, 0.0, study="other"),
]


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "results.csv"
    write_results(path, AT, ROWS)
    written = [replace(row, study="cells" if row.study == DEFAULT else row.study) for row in ROWS]
    assert read_results(path, "make it") == written
    lines = path.read_text().splitlines()
    assert lines[0] == "system,study,unit,method,role,seed,metric,value,low,high"
    assert lines[1] == 'toy,cells,"cytokine in CD4+/CD25, T",net,model,0,mse,0.30000000000000004,0.1,0.5'
    assert lines[2].endswith(",net,model,1,mse,,,")
    first = path.read_bytes()
    write_results(path, AT, ROWS)
    assert path.read_bytes() == first


def test_digits_are_as_many_as_asked_for(tmp_path):
    write_results(tmp_path / "results.csv", AT, [replace(ROWS[0], value=0.123456789)], digits=6)
    assert ",0.123457,0.1,0.5" in (tmp_path / "results.csv").read_text()


FAULTS = [
    ({"role": "judge"}, r"role 'judge' of method net; a role is one of model, "),
    ({"role": "baseline", "seed": 9}, "method net has two roles, model and baseline"),
    ({"value": float("nan"), "low": None, "high": None, "seed": 9}, "not finite: default, cytokine"),
    ({"high": float("inf"), "seed": 9}, "not finite"),
    ({"low": None, "seed": 9}, "an interval with a single bound"),
    ({"value": None, "seed": 9}, "that excludes its value"),
    ({"value": 0.6, "seed": 9}, "that excludes its value"),
    ({"value": 0.05, "seed": 9}, "that excludes its value"),
    ({}, "duplicate score: default, .*, net, 0, mse"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_a_fault_is_named_and_nothing_is_written(tmp_path, change, message):
    check(ROWS)
    rows = [*ROWS, replace(ROWS[0], **change)]
    with pytest.raises(ExpectedError, match=message):
        write_results(tmp_path / "results.csv", AT, rows)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: "", "lacks system, study"),
        (lambda text: text.replace(",metric", "", 1), "lacks metric"),
        (lambda text: text.replace(",high", ",high,p", 1), "has unknown columns p"),
        (lambda text: text.splitlines()[0], "has no rows"),
        (lambda text: text + "toy,default\n", "line 6 has 2 fields, not 10"),
        (lambda text: text.replace("1e-19", "tiny"), "line 4: could not convert string to float: 'tiny'"),
        (lambda text: text.replace("1e-19", "nan"), "not finite"),
        (lambda text: text + text.splitlines()[1] + "\n", "duplicate score"),
        (lambda text: text.replace("model,0", "model,x"), "line 2: invalid literal"),
        (lambda text: text[: len(text) // 3] + '"', "unexpected end of data|lacks|fields"),
    ],
)
def test_a_damaged_file_is_one_message_with_what_makes_it_anew(tmp_path, change, message):
    path = tmp_path / "results.csv"
    write_results(path, AT, ROWS)
    path.write_text(change(path.read_text()))
    with pytest.raises(ExpectedError, match=message) as caught:
        read_results(path, "dvc repro evaluate@toy")
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("`dvc repro evaluate@toy` makes it anew")


def test_a_missing_file_is_named_with_what_makes_it(tmp_path):
    with pytest.raises(ExpectedError, match=r"results.csv not found: `dvc repro evaluate@toy` makes it"):
        read_results(tmp_path / "results.csv", "dvc repro evaluate@toy")


def test_columns_are_those_of_the_design():
    assert COLUMNS == ("system", "study", "unit", "method", "role", "seed", "metric", "value", "low", "high")
