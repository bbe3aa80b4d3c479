"""The chapter on measured cells: its sentences follow the numbers, also where the model loses."""

import pandas as pd
import pytest

from pipeline.cfm_vc.report.leave_one_out import in_short, leave_one_out
from pipeline.cfm_vc.report.results import LeaveOneOut, read_leave_one_out
from pipeline.core.errors import ExpectedError
from pipeline.report.page import Figures, Table
from tests.report.simulated_results import CELL_TYPES, write_leave_one_out

SCORES = "reports/cfm_vc/measured/scores.csv"


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**how) -> LeaveOneOut:
        write_leave_one_out(tmp_path, CELL_TYPES, **how)
        return read_leave_one_out()

    return write


def plain(text: str) -> str:
    return text.replace("\N{NON-BREAKING HYPHEN}", "-")


def test_a_model_that_wins_all_but_one_is_said_to(found):
    said = plain(in_short(found()))
    assert said.startswith(
        "of 5 cell types, each held out in turn with 3 seeds, CFM-VC is ahead of all 4 baselines on 4 in Pearson top "
        "100, on 4 in E-distance and on 4 in both. On average, it is ahead of every baseline in Pearson top 100 ("
    )
    assert "for additive shift)" in said
    lead = plain(leave_one_out(found()).lead)
    assert "It is behind on CD14+ Monocyte in Pearson top 100; behind on CD14+ Monocyte in E-distance." in lead


def test_a_model_that_loses_is_said_to(found):
    said = plain(in_short(found(gain=-0.1)))
    assert "ahead of all 4 baselines on 1 in Pearson top 100, on 1 in E-distance and on 1 in both" in said
    assert "On average, it is behind the best baseline in Pearson top 100" in said
    assert "ahead of every" not in said


def test_a_gain_within_the_noise_is_level(found):
    results = found(gain=0.002, seeds=1)
    assert "on none in Pearson top 100" in plain(in_short(results))
    assert "with 1 seed, " in in_short(results)
    assert (
        "It is level on CD14+ Monocyte, CD19+ B, CD4+ T, CD56+ NK and Dendritic in Pearson"
        in leave_one_out(results).lead
    )


def tables(results: LeaveOneOut) -> list[Table]:
    return [block for block in leave_one_out(results).blocks if isinstance(block, Table)]


def test_each_table_has_mean_and_deviation_over_seeds(found):
    """Checked against numbers computed here from the file."""
    results = found()
    scores = pd.read_csv(SCORES)
    ours = scores[(scores["method"] == "cfm_vc") & (scores["metric"] == "pearson_change_top100")]
    table = tables(results)[0]
    assert [row[0].text for row in table.rows] == [*CELL_TYPES, "mean"]
    assert table.header[1] == "CFM-VC"
    for row, cell_type in zip(table.rows, CELL_TYPES, strict=False):
        values = ours.loc[ours["cell_type"] == cell_type, "value"]
        assert row[1].text == f"{values.mean():.3f}"
        assert row[1].remark == f"± {values.std():.3f}"
    over_cell_types = ours.groupby("seed")["value"].mean()
    assert table.rows[-1][1].text == f"{over_cell_types.mean():.3f}"
    assert table.rows[-1][1].remark == f"± {over_cell_types.std():.3f}"


def test_the_best_that_competes_is_marked_in_each_row(found):
    for row in tables(found())[0].rows:
        best = [cell for cell in row if cell.best]
        competing = [float(cell.text) for cell in row[1:] if not cell.quiet]
        assert [float(cell.text) for cell in best] == [max(competing)]


def test_what_is_the_same_for_every_seed_has_no_deviation(found):
    results = found()
    header, row = tables(results)[0].header, tables(results)[0].rows[0]
    assert row[list(header).index("ridge")].remark == ""


def test_the_ablation_is_in_order_of_its_steps(found):
    steps = tables(found())[-1]
    assert [row[0].text for row in steps.rows] == [
        "base field only",
        "+ basis adapter",
        "+ OT coupling",
        "+ distribution loss",
        "from noise",
        "control mean",
        "additive shift",
    ]
    assert "was chosen" in steps.caption
    assert "+ OT coupling for CD19+ B" in steps.caption
    assert [row[0].text for row in steps.rows if row[1].best] == ["+ distribution loss"]


def test_of_the_baselines_only_the_best_is_drawn_among_the_variants(found):
    """So that "no effect" does not squeeze the steps together."""
    ladders = [block for block in leave_one_out(found()).blocks if isinstance(block, Figures)][1].pictures
    assert len(ladders) == 2
    for drawn in ladders:
        assert "additive shift" in drawn.alt
        assert "control mean" not in drawn.alt


@pytest.mark.parametrize("file", ["scores.csv", "ablation.csv", "about.json"])
def test_a_missing_file_is_named_with_the_command_that_makes_it(found, tmp_path, file):
    found()
    (tmp_path / "reports/cfm_vc/measured" / file).unlink()
    with pytest.raises(ExpectedError, match=rf"{file} not found: `python -m benchmarks.leave_one_out` makes it"):
        read_leave_one_out()


def test_scores_without_a_model_are_refused(found, tmp_path):
    found()
    scores = pd.read_csv(tmp_path / SCORES)
    scores[scores["method"] != "cfm_vc"].to_csv(tmp_path / SCORES, index=False)
    with pytest.raises(ExpectedError, match="0 models and 4 baselines"):
        read_leave_one_out()
