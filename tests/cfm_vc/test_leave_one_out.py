"""The section on measured cells: its sentences follow the numbers, also where the model loses."""

import json

import pandas as pd
import pytest

from pipeline.cfm_vc.report.leave_one_out import leave_one_out
from pipeline.cfm_vc.report.results import LeaveOneOut, read_leave_one_out
from pipeline.cfm_vc.stages.chapter import run
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.params.chapter import Chapter
from pipeline.report.page import Figures, Table
from tests.report.simulated_results import CELL_TYPES, write_leave_one_out, write_results

AT = StudyPaths("cfm_vc", "pbmc", "held_out", 0)
SCORES = "reports/measured/cfm_vc/kang.csv"
SIMULATED = {"simulated": True, "input_sha256": "0" * 64}


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**how) -> LeaveOneOut:
        write_leave_one_out(tmp_path, CELL_TYPES, **how)
        (results,) = read_leave_one_out(SIMULATED)
        return results

    return write


def plain(text: str) -> str:
    return text.replace("\N{NON-BREAKING HYPHEN}", "-").replace("\N{MINUS SIGN}", "-")


def lead(results: LeaveOneOut) -> str:
    return plain(leave_one_out(results).lead)


def test_the_chapter_says_that_these_are_other_cells(found):
    section = leave_one_out(found())
    assert section.title.startswith("Measured cells: ")
    assert section.lead.startswith("Blood cells of two donors")
    assert "other cells than in this run." in section.lead


def test_a_model_that_wins_all_but_one_is_said_to(found):
    said = lead(found(gain=0.03))
    assert "On average over 5 groups, each held out in turn with 3 seeds, CFM-VC is level with the best" in said
    assert (
        "By Pearson top 100 it is ahead of every baseline in 4 of 5 groups and behind in stim in CD14+ Monocyte."
        in said
    )
    assert "By E-distance it is ahead of every baseline in 4 of 5 groups and behind in stim in CD14+ Monocyte." in said


def test_a_model_that_loses_is_said_to(found):
    said = lead(found(gain=-0.1))
    assert "ahead of every baseline in 1 of 5 groups" in said
    assert "behind in stim in CD19+ B, stim in CD4+ T, stim in CD56+ NK and stim in Dendritic" in said


def test_a_single_seed_shows_no_difference_in_a_group(found):
    """There is nothing to tell its spread by."""
    said = lead(found(gain=0.03, seeds=1))
    assert "with 1 seed, " in said
    assert "By Pearson top 100 it is ahead of every baseline in 0 of 5 groups and level in stim in CD14+" in said


@pytest.mark.parametrize(
    ("simulated", "sha256", "shown"),
    [(True, "0" * 64, True), (False, "0" * 64, False), (False, "fedcba9876543210" * 4, True)],
)
def test_a_run_on_other_measured_cells_does_not_show_the_scores_of_these(
    tmp_path, monkeypatch, simulated, sha256, shown
):
    """The embedded, simulated data set shows them, labelled; so does a run on the very file they were measured on."""
    write_results(tmp_path, genes=60, cells=200)
    monkeypatch.chdir(tmp_path)
    path = AT.store / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"simulated": simulated, "input_sha256": sha256}))
    run(Chapter(folds={"held_out": [0]}), AT)
    chapter = json.loads(AT.chapter.read_text())
    assert ("Leave one cell type out" in str(chapter) or "leave one cell type out" in str(chapter)) == shown
    assert ("Blood cells of two donors" in str(chapter)) == shown
    assert ("other cells than in this run" in str(chapter)) == (shown and simulated)
    assert ("held out in turn" in chapter["system"]["elsewhere"]) == shown


def tables(results: LeaveOneOut) -> list[Table]:
    return [block for block in leave_one_out(results).blocks if isinstance(block, Table)]


def test_each_table_has_mean_and_deviation_over_seeds(found):
    """Checked against numbers computed here from the file."""
    results = found()
    scores = pd.read_csv(SCORES)
    ours = scores[(scores["method"] == "cfm_vc") & (scores["metric"] == "pearson_change_top100")]
    table = tables(results)[0]
    assert [row[0].text for row in table.rows] == [*(f"stim in {cell_type}" for cell_type in CELL_TYPES), "mean"]
    assert table.header[1] == "CFM-VC"
    for row, cell_type in zip(table.rows, CELL_TYPES, strict=False):
        values = ours.loc[ours["unit"] == f"stim in {cell_type}", "value"]
        assert row[1].text == f"{values.mean():.3f}"
        assert row[1].remark == f"± {values.std():.3f}"
    over_cell_types = ours[ours["unit"] != "all"].groupby("seed")["value"].mean()
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
    assert steps.caption.startswith("Means over the held-out groups")
    assert [row[0].text for row in steps.rows if row[1].best] == ["+ distribution loss"]


def test_of_the_baselines_only_the_best_is_drawn_among_the_variants(found):
    """So that "no effect" does not squeeze the steps together."""
    ladders = [block for block in leave_one_out(found()).blocks if isinstance(block, Figures)][1].pictures
    assert len(ladders) == 2
    for drawn in ladders:
        assert "additive shift" in drawn.alt
        assert "control mean" not in drawn.alt


@pytest.mark.parametrize("file", ["kang.csv", "kang_ablation.csv", "kang.json"])
def test_a_missing_file_is_named_with_the_command_that_makes_it(found, tmp_path, file):
    found()
    (tmp_path / "reports/measured/cfm_vc" / file).unlink()
    with pytest.raises(ExpectedError, match=rf"{file} not found: `git checkout reports/measured` makes it"):
        read_leave_one_out(SIMULATED)


def test_scores_without_a_model_are_refused(found, tmp_path):
    found()
    scores = pd.read_csv(tmp_path / SCORES, dtype=str)
    scores[scores["role"] != "model"].to_csv(tmp_path / SCORES, index=False)
    with pytest.raises(ExpectedError, match="0 models and 4 baselines"):
        read_leave_one_out(SIMULATED)
