"""`python -m pipeline compare`: the table's arithmetic, on a stand-in whose parameters are easily counted."""

import csv
import io
import sys
import types
from pathlib import Path

import pytest
import yaml

from pipeline import cli
from pipeline.commands.compare import COLUMNS, COST, REFERENCE


def parameter_counts(arguments):
    """A network of genes · width parameters; a dense feed-forward network has 1,000, an expert a share of them, a gate
    of the mixture 10 for each expert; gated attention has heads more."""
    experts = arguments["experts"]
    total = arguments["genes"] * arguments["width"] + (arguments["heads"] if arguments["gate"] != "none" else 0)
    ffn = activated = 1000
    if arguments["ffn"] == "moe":
        ffn = 1000 + 10 * experts
        activated = arguments["top_k"] * 1000 // experts + 10 * experts
    return {"total": total + ffn, "activated": total + activated, "ffn_total": ffn, "ffn_activated": activated}


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType(COST)
    module.parameter_counts = parameter_counts
    monkeypatch.setitem(sys.modules, COST, module)


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", *arguments])
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def table(capsys, *arguments):
    code, out, _ = call(capsys, "--csv", *arguments)
    assert code == 0
    return {row["network"]: row for row in csv.DictReader(io.StringIO(out))}


def test_the_references_stand_beside_their_dense_network(capsys):
    rows = table(capsys, "--genes", "70")
    assert list(rows) == list(REFERENCE)
    assert list(rows)[2:] == ["moe_4_choose_2", "moe_8_choose_2", "gated_moe_4_choose_2"]
    assert list(rows["dense"]) == ["network", *COLUMNS]
    assert {k: rows["dense"][k] for k in COLUMNS} == {
        "parameters": str(70 * 128 + 1000),
        "activated": str(70 * 128 + 1000),
        "ffn": "1000",
        "ffn_activated": "1000",
        "ffn_rate": "1",
        "activated_share": "1",
        "against_dense": "0",
    }
    assert rows["gated"]["parameters"] == str(70 * 128 + 1008)
    moe = rows["gated_moe_4_choose_2"]
    assert (moe["parameters"], moe["activated"]) == (str(70 * 128 + 1048), str(70 * 128 + 548))
    assert float(moe["ffn_rate"]) == pytest.approx(540 / 1040)
    assert float(moe["activated_share"]) == pytest.approx(9508 / 10008)
    assert float(moe["against_dense"]) == pytest.approx(10008 / 9960 - 1, abs=1e-6)


def test_a_network_of_ones_own_is_held_against_its_own_dense_twin(capsys):
    rows = table(capsys, "--genes", "10", "wide:ffn=moe,experts=16,top_k=2", "big: dimensions=256, gate=elementwise")
    assert list(rows)[-2:] == ["wide", "big"]
    assert rows["wide"]["ffn"] == "1160"
    assert rows["big"]["parameters"] == str(10 * 256 + 1008)
    assert float(rows["big"]["against_dense"]) == pytest.approx(8 / 3560, rel=1e-6)


def test_the_printed_table_is_aligned(capsys):
    _, out, _ = call(capsys, "--genes", "70", "a:heads=16,gate=headwise")
    lines = out.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["network", *COLUMNS]
    assert lines[1].split() == ["dense", "9,960", "9,960", "1,000", "1,000", "100.0%", "100.0%", "+0.0%"]
    assert lines[3].split() == ["moe_4_choose_2", "10,000", "9,500", "1,040", "540", "51.9%", "95.0%", "+0.4%"]
    assert lines[-1].split()[0] == "a"


def test_the_sizes_can_be_those_of_a_file(capsys):
    content = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text())["diffusion"]
    content |= {"learning_rate": 0.1, "weight_decay": 0.1, "dimensions": 32, "ffn": "moe"}
    Path("other.yaml").write_text(yaml.safe_dump({"diffusion": content}))
    rows = table(capsys, "--genes", "10", "--config", "other.yaml")
    assert rows["dense"]["parameters"] == str(10 * 32 + 1000)
    Path("other.yaml").write_text(yaml.safe_dump({"diffusion": content | {"heads": 5}}))
    assert "dimensions (32) must be a multiple of heads (5)" in call(capsys, "--config", "other.yaml")[2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["wide"], "wide: expected NAME:KEY=VALUE,..."),
        (["a:ffn"], "'ffn' is not KEY=VALUE"),
        (["a:fnn=moe"], "a:fnn=moe: no 'fnn'; did you mean 'ffn'?"),
        (["a:gate=headwize"], "a:gate=headwize: expected none, headwise or elementwise; did you mean headwise?"),
        (["a:heads=0"], "a:heads=0: expected a whole number from 1 on"),
        (["a:heads=5"], "dimensions (128) must be a multiple of heads (5)"),
        (["a:ffn=moe,top_k=9"], "top_k (9) must not exceed experts (4)"),
        (["a:experts=4"], "a:experts=4 says nothing while ffn is dense"),
        (["dense:heads=4"], "there is a network 'dense' already"),
        (["a:heads=4", "a:heads=2"], "there is a network 'a' already"),
        (["--genes", "0"], "--genes 0: expected 1 or more"),
        (["--config", "no.yaml"], "no.yaml not found"),
    ],
)
def test_a_wrong_call_is_one_message(capsys, arguments, expected):
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert expected in err
