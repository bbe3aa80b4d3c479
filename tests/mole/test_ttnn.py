"""The chapter on inference: what was not measured is said to be so, and an estimate is never called a measurement."""

import json

import pytest

from pipeline.core.errors import ExpectedError
from pipeline.mole.report.ttnn import (
    agreement_in_words,
    agreement_table,
    experts_table,
    in_words,
    inference,
    times_table,
)
from pipeline.mole.report.ttnn_results import Inference, read_inference
from pipeline.report.page import Figures, Heading, Table
from tests.mole.simulated_results import AT, Series, write_inference


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**how) -> Inference:
        write_inference(tmp_path, Series(**how))
        return read_inference(AT)

    return write


def tables(found: Inference) -> list[Table]:
    return [block for block in inference(found).blocks if isinstance(block, Table)]


def test_what_was_not_measured_stands_in_its_cell_with_the_reason(found):
    cells = [cell for row in agreement_table(found()).rows for cell in row]
    said = [(cell.text, cell.remark) for cell in cells if cell.words]
    assert said.count(("not measured", "the TTNN environment is not set up (make ttnn)")) == 4
    assert said.count(("not measured", "no Tenstorrent device")) == 4
    assert not any(character.isdigit() for text, _ in said for character in text)
    assert "Agreement not measured: the TTNN environment is not set up (make ttnn)." in agreement_in_words(found())


def test_agreement_that_was_measured_is_told_with_its_target(found):
    table = agreement_table(found(golden=True))
    row = next(row for row in table.rows if row[0].text == "bfloat8_b")
    assert [cell.text for cell in row[1:]] == ["0.99999", "0.99980", "≥ 0.99", "+0.000012"]
    assert row[1].best
    assert "4 of 4 combinations" in agreement_in_words(found(golden=True))


def test_a_target_that_is_missed_is_not_marked(found):
    found(golden=True)
    path = AT.reports / "ttnn.json"
    about = json.loads(path.read_text())
    about["points"]["mole_dlinear"]["golden"]["bfloat16"] |= {"met": False, "pcc_outputs": 0.9}
    path.write_text(json.dumps(about))
    table = agreement_table(read_inference(AT))
    assert [row[1].best for row in table.rows[1:3]] == [False, True]
    assert "3 of 4 combinations" in agreement_in_words(read_inference(AT))


def test_the_estimate_is_called_one_wherever_it_stands(found):
    headings = [block.text for block in inference(found()).blocks if isinstance(block, Heading)]
    assert "What a card could do: an estimate, not a measurement" in headings
    roofline = next(table for table in tables(found()) if "estimate: no card ran this" in table.caption)
    assert [name for name in roofline.header if "estimate" in name] == ["ms (estimate)", "sequences/s (estimate)"]
    assert [row[1].text for row in roofline.rows[1:3]] == ["1", "512"]  # the smallest and the largest batch


def test_times_are_those_of_the_file(found):
    rows = times_table(found()).rows
    first = rows[0:2]
    assert first[0][0].text == "MoLE-DLinear, PyTorch"
    assert [cell.text for cell in first[1]] == ["1, float32", "0.310", "0.372", "3.23\N{NO-BREAK SPACE}k"]
    absent = next(row for row in rows if row[0].text == "all batch sizes")
    assert (absent[1].text, absent[1].remark) == ("not measured", "no Tenstorrent device")
    assert "one sequence in 0.155 ms (PyTorch, compiled)" in in_words(found())
    assert "TTNN" not in in_words(found()).replace("the TTNN environment", "")


def test_a_device_that_was_there_is_drawn_and_told(found):
    figures = next(block for block in inference(found(device=True)).blocks if isinstance(block, Figures))
    assert "MoLE-DLinear, TTNN" in figures.pictures[0].alt
    assert "(TTNN)" in in_words(found(device=True))
    without = next(block for block in inference(found()).blocks if isinstance(block, Figures))
    assert "TTNN" not in without.pictures[0].alt


def test_the_cost_of_experts_is_a_ratio_or_a_reason(found):
    table = experts_table(found())
    assert table.header == ["experts", "1", "4"]
    assert [cell.text for cell in table.rows[0][1:]] == ["1.00", "1.40"]
    assert table.rows[2][1].text == "not measured"


@pytest.mark.parametrize("name", ["ttnn", "latency"])
def test_a_file_that_lacks_something_is_named(found, name):
    found()
    path = AT.reports / f"{name}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "horizon"}))
    with pytest.raises(ExpectedError, match=f"{path}: lacks horizon: `dvc repro --force ttnn_benchmark@series`"):
        read_inference(AT)


def test_times_that_cannot_be_and_rows_that_lack_something_are_named(found):
    found()
    path = AT.reports / "latency.json"
    content = json.loads(path.read_text())
    content["rows"][0]["p50_ms"] = 0
    path.write_text(json.dumps(content))
    with pytest.raises(ExpectedError, match="a time of 0 ms"):
        read_inference(AT)
    del content["rows"][0]["p50_ms"]
    path.write_text(json.dumps(content))
    with pytest.raises(ExpectedError, match="a row lacks p50_ms"):
        read_inference(AT)
