"""`python -m pipeline compare`: the table's arithmetic, on a stand-in whose parameters are easily counted, and the
relations of the reference networks as they are."""

import csv
import io
from pathlib import Path

import pytest
import yaml

from pipeline import cli
from pipeline.alphastomics.commands.compare import COLUMNS, REFERENCE


def parameter_counts(config):
    """A network of genes · width parameters; a dense feed-forward network has 1,000, an expert a share of them, a gate
    of the mixture 10 for each expert; gated attention has heads more."""
    experts = config.experts
    total = config.genes * config.dimensions + (config.heads if config.gate != "none" else 0)
    ffn = activated = 1000
    if config.ffn == "moe":
        ffn = 1000 + 10 * experts
        activated = config.top_k * 1000 // experts + 10 * experts
    return {"total": total + ffn, "activated": total + activated, "ffn_total": ffn, "ffn_activated": activated}


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.alphastomics.commands.compare.parameter_counts", parameter_counts)


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", *arguments])
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def table(capsys, *arguments):
    code, out, _ = call(capsys, "--csv", *arguments)
    assert code == 0
    return {row["network"]: row for row in csv.DictReader(io.StringIO(out))}


def test_the_references_stand_beside_their_dense_network(stand_in, capsys):
    rows = table(capsys, "--genes", "70")
    assert list(rows) == list(REFERENCE)
    assert list(rows)[2:] == ["moe_4_choose_2", "moe_8_choose_2", "gated_moe_4_choose_2"]
    assert list(rows["dense"]) == ["network", *COLUMNS]
    assert {k: rows["dense"][k] for k in COLUMNS} == {
        "parameters": str(70 * 120 + 1000),
        "activated": str(70 * 120 + 1000),
        "ffn": "1000",
        "ffn_activated": "1000",
        "ffn_rate": "1",
        "activated_share": "1",
        "against_dense": "0",
    }
    assert rows["gated"]["parameters"] == str(70 * 120 + 1006)
    moe = rows["gated_moe_4_choose_2"]
    assert (moe["parameters"], moe["activated"]) == (str(70 * 120 + 1046), str(70 * 120 + 546))
    assert float(moe["ffn_rate"]) == pytest.approx(540 / 1040)
    assert float(moe["activated_share"]) == pytest.approx(8946 / 9446)
    assert float(moe["against_dense"]) == pytest.approx(9446 / 9400 - 1, abs=1e-6)


def test_a_network_of_ones_own_is_held_against_its_own_dense_twin(stand_in, capsys):
    rows = table(capsys, "--genes", "10", "wide:ffn=moe,experts=16,top_k=2", "big: dimensions=240, gate=elementwise")
    assert list(rows)[-2:] == ["wide", "big"]
    assert rows["wide"]["ffn"] == "1160"
    assert rows["big"]["parameters"] == str(10 * 240 + 1006)
    assert float(rows["big"]["against_dense"]) == pytest.approx(6 / 3400, rel=1e-6)


def test_the_printed_table_is_aligned(stand_in, capsys):
    _, out, _ = call(capsys, "--genes", "70", "a:heads=12,gate=headwise")
    lines = out.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["network", *COLUMNS]
    assert lines[1].split() == ["dense", "9,400", "9,400", "1,000", "1,000", "100.0%", "100.0%", "+0.0%"]
    assert lines[3].split() == ["moe_4_choose_2", "9,440", "8,940", "1,040", "540", "51.9%", "94.7%", "+0.4%"]
    assert lines[-1].split()[0] == "a"


def test_the_sizes_can_be_those_of_a_file(stand_in, capsys):
    content = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())["alphastomics"]["diffusion"]
    content |= {"learning_rate": 0.1, "weight_decay": 0.1, "dimensions": 32, "ffn": "moe"}
    Path("other.yaml").write_text(yaml.safe_dump({"alphastomics": {"diffusion": content}}))
    rows = table(capsys, "--genes", "10", "--config", "other.yaml")
    assert rows["dense"]["parameters"] == str(10 * 32 + 1000)
    Path("other.yaml").write_text(yaml.safe_dump({"alphastomics": {"diffusion": content | {"heads": 5}}}))
    assert "dimensions (32) must be a multiple of heads (5)" in call(capsys, "--config", "other.yaml")[2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["wide"], "wide: expected NAME:KEY=VALUE,..."),
        (["a:ffn"], "ffn: expected KEY=VALUE"),
        (["a:fnn=moe"], "a.fnn: unknown key; did you mean 'ffn'?"),
        (["a:gate=headwize"], "a.gate = 'headwize': Input should be 'none', 'headwise' or 'elementwise'"),
        (["a:heads=0"], "a.heads = 0: Input should be greater than or equal to 1"),
        (["a:heads=7"], "dimensions (120) must be a multiple of heads (7)"),
        (["a:ffn=moe,top_k=9"], "top_k (9) must not exceed experts (4)"),
        (["a:experts=4"], "experts has no effect while ffn is dense"),
        (["dense:heads=4"], "there is a network 'dense' already"),
        (["a:heads=4", "a:heads=2"], "there is a network 'a' already"),
        (["--genes", "0"], "--genes 0: expected 1 or more"),
        (["--config", "no.yaml"], "no.yaml not found"),
    ],
)
def test_a_wrong_call_is_one_message(stand_in, capsys, arguments, expected):
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert expected in err


# What was published of four such networks: FFN activation, activated share of the whole, total against dense.
PUBLISHED = {
    "gated": (1.0, 1.0, 0.019),
    "moe_4_choose_2": (0.508, 0.907, 0.022),
    "moe_8_choose_2": (0.25, 0.835, 0.04),
    "gated_moe_4_choose_2": (0.508, 0.908, 0.041),
}


def test_the_reference_networks_hold_the_published_relations(capsys):
    rows = {
        name: {column: float(value) for column, value in row.items() if column != "network"}
        for name, row in table(capsys).items()
    }
    assert rows["dense"]["parameters"] == pytest.approx(0.7e6, rel=0.03)
    for name, (rate, share, _) in PUBLISHED.items():
        assert rows[name]["ffn_rate"] == pytest.approx(rate, abs=0.02)
        assert rows[name]["activated_share"] == pytest.approx(share, abs=0.02)
        assert 0 < rows[name]["against_dense"] < 0.05
    added = {name: row["against_dense"] for name, row in rows.items()}
    by_size = sorted(["gated", "moe_4_choose_2", "moe_8_choose_2"], key=lambda name: PUBLISHED[name][2])
    assert added[by_size[0]] < added[by_size[1]] < added[by_size[2]]
    # The gate and the mixture are paid for separately, and the mixture shares out the dense network's hidden units.
    assert added["gated_moe_4_choose_2"] == pytest.approx(added["gated"] + added["moe_4_choose_2"], rel=1e-6)
    assert rows["moe_8_choose_2"]["ffn"] == pytest.approx(rows["dense"]["ffn"], rel=0.06)


def test_an_expert_has_its_share_of_the_hidden_units_and_one_at_the_fewest(capsys):
    rows = table(capsys, "--genes", "10", "few:ffn=moe,hidden=5,experts=8,top_k=8,dimensions=12,layers=1")
    gate, expert = 12 * 8, 2 * 12 * 1 + 1 + 12
    assert float(rows["few"]["ffn"]) == float(rows["few"]["ffn_activated"]) == gate + 8 * expert
