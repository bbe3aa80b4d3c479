"""The chapters on tissue: their sentences follow the numbers, whichever way, for any number of sections and axes."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.alphastomics.decisive import MODEL, boards
from pipeline.alphastomics.glossary import EXPR_TO_POS, POS_TO_EXPR
from pipeline.alphastomics.report.chapter import drawn_sections, tissue
from pipeline.alphastomics.report.left_out import ablation_table, gains, in_words, left_out, tables_of
from pipeline.alphastomics.report.results import Spatial, read_spatial
from pipeline.alphastomics.report.summary import card
from pipeline.alphastomics.report.tables import main_table, rankings, section_table
from pipeline.alphastomics.report.trust import coverage_curve, coverage_table, trust
from pipeline.alphastomics.report.verdict import answer_of, counts, lead
from pipeline.core.errors import ExpectedError
from pipeline.metrics.mean_interval import mean_interval
from pipeline.metrics.results import ALL, Row, read_results
from pipeline.metrics.verdict import compare
from pipeline.report.page import Facts, Figures, Section, Table
from tests.alphastomics.simulated_results import AT, FOLDS, RESULTS, SHA256, Tissue, write_scores, write_spatial

ABLATION = "reports/measured/alphastomics/starmap_mpfc_ablation.csv"


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**how) -> Spatial:
        write_spatial(tmp_path, Tissue(**{"cells": 150, "genes": 12, **how}))
        return read_spatial(AT, FOLDS)

    return write


def rewritten(change) -> Spatial:
    """The results with every score put through `change`, which gives another one or None."""
    rows = read_results(Path(RESULTS), "a test")
    scores = [row for row in rows if row.unit != ALL and row.role != "difference"]
    write_scores(Path(RESULTS), [new for row in scores if (new := change(row)) is not None])
    return read_spatial(AT, FOLDS)


def valued(method: str, metric: str, value: float | dict[str, float] | None):
    """A change: the score of this method and metric is this (by section, where it is a dictionary)."""

    def change(row: Row) -> Row:
        if (row.method, row.metric) != (method, metric):
            return row
        return replace(row, value=value[row.unit] if isinstance(value, dict) else value)

    return change


def pictures(section: Section) -> list:
    return [picture for block in section.blocks if isinstance(block, Figures) for picture in block.pictures]


def leads(expr_to_pos: float, pos_to_expr: float) -> dict[str, float]:
    return {"expr_to_pos": expr_to_pos, "pos_to_expr": pos_to_expr}


@pytest.mark.parametrize(
    ("lead_by", "answer", "said"),
    [
        (leads(0.1, 0.05), "It worked.", "AlphaSTomics is ahead of every baseline in Spearman of distances (0.9"),
        (
            leads(0.1, -0.3),
            "It worked in part.",
            "Predicting expression from positions, it is behind the best baseline in PCC per gene (0.1",
        ),
        (leads(-0.3, -0.3), "It did not work.", "AlphaSTomics is behind the best baseline in Spearman of distances"),
        (leads(-0.06, -0.06), "No gain.", "it is level with the best baseline in PCC per gene"),
    ],
)
def test_the_verdict_is_that_of_the_numbers(found, lead_by, answer, said):
    spatial = found(lead=lead_by)
    assert answer_of(spatial) == answer
    assert said in lead(spatial)
    assert ("ahead of every baseline in PCC" in lead(spatial)) == (lead_by["pos_to_expr"] > 0)


def test_the_best_baseline_is_the_rival_whichever_it_is(found):
    found()
    spatial = rewritten(valued("pca_2", "knn_overlap", 0.99))
    assert "but behind the best baseline in kNN overlap (0.2" in lead(spatial)
    assert "against 0.990 for PCA-2;" in lead(spatial)
    assert answer_of(spatial) == "It worked in part."


def test_controls_never_compete(found):
    """The truth scores 1, and the model is still ahead of every baseline."""
    spatial = found()
    table = main_table(spatial.boards[EXPR_TO_POS], EXPR_TO_POS)
    by_name = {row[0].text: row for row in table.rows}
    assert table.rows[0][0].text == "AlphaSTomics"
    assert [row[0].text for row in table.rows[-2:]] == ["truth", "shuffled"]
    assert by_name["truth"][1].text == "1.000"
    assert by_name["truth"][1].quiet
    assert not any(cell.best for cell in by_name["truth"])
    assert all(cell.best for cell in by_name["AlphaSTomics"][1:])


def test_lower_is_better_for_errors(found):
    def standing(board):
        return compare(board, board.metric("js"), model=board.method(MODEL)).standing

    board = found().boards[POS_TO_EXPR]
    assert [method.name for method in board.best(board.metric("js"))] == [MODEL]
    assert standing(board) == "ahead"
    assert standing(found(lead=leads(0.1, -0.3)).boards[POS_TO_EXPR]) == "behind"


def test_the_truth_is_in_the_tables_and_not_in_the_rankings(found):
    board = found().boards[EXPR_TO_POS]
    pictures = rankings(board, EXPR_TO_POS, "").pictures
    assert len(pictures) == 3
    assert not any("truth" in picture.alt for picture in pictures)
    assert all("shuffled" in picture.alt for picture in pictures)


def test_the_data_is_said_to_be_simulated_or_measured(found):
    assert "Simulated tissue: a cortex of five layers in three sections." in lead(found())
    assert "Measured tissue: " in lead(found(simulated=False))


@pytest.mark.parametrize(
    ("how", "drawn", "said"),
    [
        ({}, 2 + 3 + 3 + 3 + 3 + 3 + 1, ""),
        ({"sections": ("a", "b")}, 4 + 3 + 3 + 3 + 3 + 3 + 1, ""),
        (
            {"sections": tuple("abcdefg"), "dimensions": 3},
            6 + 3 + 3 + 3 + 3 + 3 + 1,
            "Of the three axes, the first two are shown; scores are of all three.",
        ),
        (
            {"cell_types": tuple(f"type {i}" for i in range(40)), "genes": 3},
            2 + 3 + 3 + 3 + 3 + 3 + 1,
            "Grey: the types beyond the 11 commonest.",
        ),
    ],
)
def test_the_chapter_of_tissue_of_any_shape_is_drawn(found, how, drawn, said):
    section = tissue(found(**how))
    assert len(pictures(section)) == drawn
    assert all(picture.alt for picture in pictures(section))
    captions = " ".join(block.caption for block in section.blocks if isinstance(block, Figures))
    assert said in captions
    assert not re.search(r"\bnan\b|None", " ".join([captions, section.lead, *(p.alt for p in pictures(section))]))


def test_of_many_sections_worst_median_and_best_are_drawn(found):
    spatial = found(sections=tuple("abcdefg"))
    values = dict(zip("abcdefg", [0.4, 0.1, 0.7, 0.2, 0.5, 0.3, 0.6], strict=True))
    board = rewritten(valued(MODEL, "spearman_distances", values)).boards[EXPR_TO_POS]
    assert drawn_sections(board) == ["b", "a", "c"]
    assert drawn_sections(board, 1) == ["a"]
    assert drawn_sections(spatial.boards[EXPR_TO_POS], 7) == list("abcdefg")


def test_a_section_may_be_called_anything(found):
    spatial = found(sections=("007", "NA"))
    assert spatial.sections == ("007", "NA")
    board = spatial.boards[EXPR_TO_POS]
    rows = section_table(board, board.metric("knn_overlap")).rows
    assert [row[0].text for row in rows] == ["007", "NA", "mean"]


def test_without_measured_sections_nothing_is_said_of_any(found):
    assert card(found(measured=())).elsewhere == ""
    Path("reports/measured/alphastomics").rmdir()
    assert read_spatial(AT, FOLDS).measured == []


def test_a_run_on_measured_tissue_shows_no_other_measured_tissue(found):
    assert [one.study.name for one in found().measured] == ["osmfish_cortex", "starmap_mpfc"]
    assert found(simulated=False).measured == []
    same = found(simulated=False, input_sha256="starmap_mpfc" + SHA256)
    assert [one.study.name for one in same.measured] == ["starmap_mpfc"]
    assert "osmfish" not in card(same).elsewhere


def test_each_measured_data_set_has_its_part(found):
    section = left_out(found())
    assert section.lead.count("is ahead of every baseline on 3 of 3 in Spearman of distances") == 2
    assert len(pictures(section)) == 2 * (3 + 3 + 3)
    facts = dict(entry for block in section.blocks if isinstance(block, Facts) for entry in block.entries)
    command = "python -m benchmarks.leave_section_out starmap_mpfc.h5ad --seeds 3"
    assert facts["Made by"] == f"{command}, at commit {'f' * 40}, with uncommitted changes"
    assert facts["Same data now"] == "the study starmap_mpfc of benchmarks/studies.yaml"
    assert "3,143 cells x 166 genes in 3 sections." in facts["Data"]


def test_a_model_that_wins_nowhere_is_said_to(found):
    spatial = found(lead=leads(-0.3, -0.3))
    assert "on none of 3 in Spearman of distances" in counts(spatial.measured[0])
    assert "ahead" not in card(spatial).elsewhere


def test_each_section_table_has_mean_and_deviation_over_seeds(found):
    """Checked against numbers computed here from the file."""
    spatial = found()
    rows = pd.read_csv("reports/measured/alphastomics/starmap_mpfc.csv")
    ours = rows[(rows["method"] == "model") & (rows["metric"] == "spearman_distances") & (rows["unit"] != "all")]
    one = next(one for one in spatial.measured if one.study.name == "starmap_mpfc")
    table = tables_of(one)[0]
    for row, section in zip(table.rows, ("BZ5", "BZ9", "BZ14"), strict=False):
        values = ours.loc[ours["unit"] == section, "value"]
        assert (row[0].text, row[1].text) == (section, f"{values.mean():.3f}")
        assert row[1].remark == f"± {values.std():.3f}"
    over_sections = ours.groupby("seed")["value"].mean()
    assert (table.rows[-1][1].text, table.rows[-1][1].remark) == (
        f"{over_sections.mean():.3f}",
        f"± {over_sections.std():.3f}",
    )
    assert all(cell.remark == "" for row in table.rows for cell in row[2:])  # baselines know no seed


def test_a_part_is_what_the_reference_has_more_in_pairs(found):
    spatial = found(measured=("starmap_mpfc",))
    rows = pd.read_csv(ABLATION)
    rows = rows[rows["metric"] == "pcc"].set_index(["section", "seed"])
    expected = [
        rows[rows["variant"] == "reference"].loc[key, "value"] - rows[rows["variant"] == "unmasked"].loc[key, "value"]
        for key in sorted(set(rows.index))
    ]
    found_gain = gains(spatial.measured[0], spatial.boards[POS_TO_EXPR].metric("pcc"))["unmasked"]
    assert found_gain == pytest.approx((*mean_interval(expected), 9))


@pytest.mark.parametrize(("gain", "effect"), [(0.1, "helps"), (-0.1, "harms"), (0.0, "shows no difference")])
def test_a_part_helps_harms_or_does_neither(found, gain, effect):
    found(measured=("starmap_mpfc",))
    rows = pd.read_csv(ABLATION)
    noise = np.random.default_rng(0).normal(0, 0.01, len(rows))
    rows["value"] = 0.5 + noise + gain * (rows["variant"] == "reference")
    rows = rows[rows["variant"].isin(["reference", "dense"])]
    rows.to_csv(ABLATION, index=False)
    one = read_spatial(AT, FOLDS).measured[0]
    assert f"PCC per gene, mixture of experts {effect}." in in_words(one)
    table = ablation_table(one)
    assert table.header[1:] == ["mixture of experts"]
    assert all(row[1].best == (effect == "helps") for row in table.rows)


def test_a_single_pair_has_no_interval_and_shows_nothing(found):
    found(measured=("starmap_mpfc",), seeds=1)
    rows = pd.read_csv(ABLATION)
    rows[rows["section"] == "BZ5"].to_csv(ABLATION, index=False)
    spatial = read_spatial(AT, FOLDS)
    one = spatial.measured[0]
    assert all(cell.remark == "one pair" for row in ablation_table(one).rows for cell in row[1:])
    assert "help" not in in_words(one)
    assert not re.search(r"\binf\b|\bnan\b", " ".join(picture.alt for picture in pictures(left_out(spatial))))


def test_a_data_set_without_ablation_says_so(found):
    found(measured=("starmap_mpfc",))
    Path(ABLATION).unlink()
    spatial = read_spatial(AT, FOLDS)
    assert Facts([("Ablation", "Not measured on these data.")]) in left_out(spatial).blocks
    assert len(tables_of(spatial.measured[0])) == 4


def test_what_is_missing_or_contradicts_itself_is_named(found):
    found()
    folder = Path("reports/measured/alphastomics")
    (folder / "starmap_mpfc.json").unlink()
    with pytest.raises(ExpectedError, match=r"starmap_mpfc.json not found: `git checkout reports/measured`"):
        read_spatial(AT, FOLDS)
    found(measured=("starmap_mpfc",))
    rows = pd.read_csv(ABLATION)
    rows[rows["variant"] != "reference"].to_csv(ABLATION, index=False)
    with pytest.raises(ExpectedError, match="lacks the variant reference"):
        read_spatial(AT, FOLDS)
    Path(ABLATION).unlink()
    again = "`dvc repro --force evaluate@alphastomics-tissue`"
    with pytest.raises(ExpectedError, match=rf"results.csv: expr_to_pos: .* 0 baselines.*: {again}"):
        rewritten(lambda row: row if row.role != "baseline" else None)
    found()
    with pytest.raises(ExpectedError, match=r"results.csv: pos_to_expr: no pcc of model"):
        rewritten(lambda row: row if (row.method, row.metric) != (MODEL, "pcc") else None)


@pytest.mark.parametrize("name", ["cells", "distances", "genes", "expression"])
def test_a_section_that_a_file_leaves_out_and_a_value_that_is_not_finite_are_named(found, name):
    found(sections=("a", "b"))
    path = Path(f"reports/alphastomics/tissue/details/{name}.parquet")
    frame = pd.read_parquet(path)
    frame[frame["section"] == "a"].to_parquet(path)
    with pytest.raises(ExpectedError, match=f"{name}.parquet: nothing about section b"):
        read_spatial(AT, FOLDS)
    column = {"cells": "spread", "genes": "pcc"}.get(name, "predicted")
    frame.loc[3, column] = np.nan
    frame.to_parquet(path)
    with pytest.raises(ExpectedError, match=f"{name}.parquet: a value of {column} is not finite"):
        read_spatial(AT, FOLDS)


def test_cells_are_known_and_stand_there_once(found):
    found()
    folder = Path("reports/alphastomics/tissue/details")
    cells = pd.read_parquet(folder / "cells.parquet")
    cells.iloc[1:].to_parquet(folder / "cells.parquet")
    with pytest.raises(ExpectedError, match=r"expression.parquet: holds a cell that is not in cells.parquet"):
        read_spatial(AT, FOLDS)
    pd.concat([cells, cells]).to_parquet(folder / "cells.parquet")
    with pytest.raises(ExpectedError, match="holds a cell of a section twice"):
        read_spatial(AT, FOLDS)


def test_an_undefined_score_is_behind_and_said_to_be(found):
    found()
    spatial = rewritten(valued(MODEL, "ssim", None))
    board = spatial.boards[POS_TO_EXPR]
    assert compare(board, board.metric("ssim"), model=board.method(MODEL)).standing == "behind"
    assert "SSIM" not in " ".join(cell for cell in main_table(board, POS_TO_EXPR).header)
    board = rewritten(valued("ridge", "knn_overlap", None)).boards[EXPR_TO_POS]
    cells = {row[0].text: row for row in main_table(board, EXPR_TO_POS).rows}
    assert cells["ridge"][3].text == "undefined"


def test_each_task_has_its_own_methods_and_scores(found):
    found()
    rows = read_results(Path(RESULTS), "a test")
    both = boards(rows)
    for task, others in ((EXPR_TO_POS, {"mean", "knn_in_space"}), (POS_TO_EXPR, {"ridge", "pca_2"})):
        assert not {method.name for method in both[task].methods} & others
        assert {method.name for method in both[task].methods} >= {MODEL, "truth", "shuffled"}
    assert not {m.name for m in both[EXPR_TO_POS].metrics} & {m.name for m in both[POS_TO_EXPR].metrics}


def test_the_tables_of_the_results_file_are_unfolded(found):
    for one in found().measured:
        assert all(isinstance(table, Table) and not table.folded for table in tables_of(one))


@pytest.mark.parametrize(
    ("wider", "said", "unsaid"),
    [
        (0.0, "On section_3, the 90 % regions can be trusted: they cover 90 % of true places.", "too"),
        (-0.2, "On section_3, they are too narrow: they cover 70 %.", "can be trusted"),
        (0.08, "On section_3, they are too wide: they cover 98 %.", "can be trusted"),
    ],
)
def test_the_chapter_says_when_regions_can_be_trusted(found, wider, said, unsaid):
    spatial = found(wider=wider)
    assert said in trust(spatial)
    assert unsaid not in trust(spatial)
    table = coverage_table(spatial)
    assert table.header == ["section", "50 % region", "80 % region", "90 % region", "95 % region"]
    assert [cell.text for cell in table.rows[0][:2]] == ["section_3", f"{100 * (0.5 + wider):.1f} %"]
    assert "Coverage of the regions. section_3: " in coverage_curve(spatial).alt


def test_regions_of_several_sections_are_told_apart(found):
    found(sections=("a", "b"))
    spatial = rewritten(lambda row: replace(row, value=0.7) if row.unit == "b" and row.metric == "coverage_90" else row)
    assert "On a, the 90 % regions can be trusted" in trust(spatial)
    assert "On b, they are too narrow: they cover 70 %." in trust(spatial)
    assert "mean of sections" in coverage_curve(spatial).alt


def test_results_without_coverage_are_refused(found):
    found()
    with pytest.raises(ExpectedError, match="has no coverage of model"):
        rewritten(lambda row: None if row.metric.startswith("coverage") else row)
