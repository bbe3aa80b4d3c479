"""The chapters on tissue: their sentences follow the numbers, whichever way, for any number of sections and axes."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.alphastomics.report.board import board_of, standing_of
from pipeline.alphastomics.report.chapter import drawn_sections, tissue
from pipeline.alphastomics.report.left_out import ablation_table, gains, in_words, left_out, tables_of
from pipeline.alphastomics.report.names import EXPR_TO_POS, POS_TO_EXPR, metric_named
from pipeline.alphastomics.report.results import Spatial, read_spatial
from pipeline.alphastomics.report.summary import card
from pipeline.alphastomics.report.tables import main_table, section_table
from pipeline.alphastomics.report.verdict import answer_of, counts, lead
from pipeline.core.errors import ExpectedError
from pipeline.metrics.mean_interval import mean_interval
from pipeline.report.page import Facts, Figures, Section, Table
from tests.alphastomics.simulated_results import Tissue, write_spatial

SCORES = "reports/alphastomics/table.csv"
ABLATION = "reports/alphastomics/measured/starmap_mpfc_ablation.csv"


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**how) -> Spatial:
        write_spatial(tmp_path, Tissue(**{"cells": 150, "genes": 12, **how}))
        return read_spatial()

    return write


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
            "Telling expression at known places, it is behind the best baseline in PCC per gene (0.1",
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
    table = pd.read_csv(SCORES)
    table.loc[(table["method"] == "pca_2") & (table["metric"] == "knn_overlap"), "value"] = 0.99
    table.to_csv(SCORES, index=False)
    spatial = read_spatial()
    assert "but behind the best baseline in kNN overlap (0.2" in lead(spatial)
    assert "against 0.990 for PCA-2)" in lead(spatial)
    assert answer_of(spatial) == "It worked in part."


def test_controls_never_compete(found):
    """The truth scores 1, and the model is still ahead of every baseline."""
    spatial = found()
    table = main_table(spatial.board, EXPR_TO_POS)
    by_name = {row[0].text: row for row in table.rows}
    assert table.rows[0][0].text == "AlphaSTomics"
    assert [row[0].text for row in table.rows[-2:]] == ["truth", "shuffled"]
    assert by_name["truth"][1].text == "1.000"
    assert by_name["truth"][1].quiet
    assert not any(cell.best for cell in by_name["truth"])
    assert all(cell.best for cell in by_name["AlphaSTomics"][1:])


@pytest.mark.parametrize(
    ("model", "baseline", "expected"),
    [
        (0.505, 0.5, "level"),
        (0.515, 0.5, "ahead"),
        (0.036, 0.030, "ahead"),
        (0.030, 0.036, "behind"),
        (0.0303, 0.030, "level"),
        (0.0, 0.0, "level"),
        (None, 0.1, "behind"),
        (0.1, None, "ahead"),
    ],
)
def test_a_hundredth_is_level_unless_the_score_itself_is_of_hundredths(model, baseline, expected):
    assert standing_of(metric_named(EXPR_TO_POS, "knn_overlap"), model, baseline) == expected


def test_lower_is_better_for_errors(found):
    spatial = found()
    metric = metric_named(POS_TO_EXPR, "rmse")
    assert [method.name for method in spatial.board.best(POS_TO_EXPR, metric)] == ["model"]
    assert spatial.board.comparison(POS_TO_EXPR, metric).standing == "ahead"
    worse = found(lead=leads(0.1, -0.3)).board
    assert worse.comparison(POS_TO_EXPR, metric).standing == "behind"


def test_the_data_is_said_to_be_simulated_or_measured(found):
    assert "Simulated tissue: a cortex of five layers in three sections." in lead(found())
    assert "Measured tissue: " in lead(found(simulated=False))


@pytest.mark.parametrize(
    ("how", "drawn", "said"),
    [
        ({}, 2 + 3 + 2 + 3 + 3 + 2 + 1, ""),
        ({"sections": ("a", "b")}, 4 + 3 + 2 + 3 + 3 + 2 + 1, ""),
        (
            {"sections": tuple("abcdefg"), "dimensions": 3},
            6 + 3 + 2 + 3 + 3 + 2 + 1,
            "Of the three axes, the first two are shown; scores are of all three.",
        ),
        (
            {"cell_types": tuple(f"type {i}" for i in range(40)), "genes": 3},
            2 + 3 + 2 + 3 + 3 + 2 + 1,
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
    table = pd.read_csv(SCORES)
    ours = (table["method"] == "model") & (table["metric"] == "spearman_distances")
    table.loc[ours, "value"] = [0.4, 0.1, 0.7, 0.2, 0.5, 0.3, 0.6]
    table.to_csv(SCORES, index=False)
    board = read_spatial().board
    assert drawn_sections(board) == ["b", "a", "c"]
    assert drawn_sections(board, 1) == ["a"]
    assert drawn_sections(spatial.board, 7) == list("abcdefg")


def test_a_section_may_be_called_anything(found):
    spatial = found(sections=("007", "NA"))
    assert spatial.board.sections == ["007", "NA"]
    rows = section_table(spatial.board, EXPR_TO_POS, metric_named(EXPR_TO_POS, "knn_overlap")).rows
    assert [row[0].text for row in rows] == ["007", "NA", "mean"]


def test_without_measured_sections_the_chapter_says_so(found):
    spatial = found(measured=())
    section = left_out(spatial)
    assert not section.blocks
    assert section.lead == "No measured sections have been scored yet: `python -m benchmarks.leave_section_out` does."
    assert card(spatial).elsewhere == ""
    Path("reports/alphastomics/measured").rmdir()
    assert read_spatial().measured == []


def test_each_measured_data_set_has_its_part(found):
    section = left_out(found())
    assert section.lead.count("is ahead of every baseline on 3 of 3 in Spearman of distances") == 2
    assert len(pictures(section)) == 2 * (3 + 3 + 3)
    facts = dict(entry for block in section.blocks if isinstance(block, Facts) for entry in block.entries)
    assert facts["Command"] == "python -m benchmarks.leave_section_out starmap_mpfc.h5ad --seeds 3"
    assert "3,143 cells, 166 genes, 3 sections." in facts["Data"]


def test_a_model_that_wins_nowhere_is_said_to(found):
    spatial = found(lead=leads(-0.3, -0.3))
    assert "on none of 3 in Spearman of distances" in counts(spatial.measured[0])
    assert "ahead" not in card(spatial).elsewhere


def test_each_section_table_has_mean_and_deviation_over_seeds(found):
    """Checked against numbers computed here from the file."""
    spatial = found()
    rows = pd.read_csv("reports/alphastomics/measured/starmap_mpfc.csv")
    ours = rows[(rows["method"] == "model") & (rows["metric"] == "spearman_distances")]
    one = next(one for one in spatial.measured if one.name == "starmap_mpfc")
    table = tables_of(one)[0]
    for row, section in zip(table.rows, ("BZ5", "BZ9", "BZ14"), strict=False):
        values = ours.loc[ours["section"] == section, "value"]
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
    found_gain = gains(spatial.measured[0], POS_TO_EXPR, metric_named(POS_TO_EXPR, "pcc"))["unmasked"]
    assert found_gain == pytest.approx((*mean_interval(expected), 9))


@pytest.mark.parametrize(("gain", "effect"), [(0.1, "helps"), (-0.1, "harms"), (0.0, "shows no difference")])
def test_a_part_helps_harms_or_does_neither(found, gain, effect):
    found(measured=("starmap_mpfc",))
    rows = pd.read_csv(ABLATION)
    noise = np.random.default_rng(0).normal(0, 0.01, len(rows))
    rows["value"] = 0.5 + noise + gain * (rows["variant"] == "reference")
    rows = rows[rows["variant"].isin(["reference", "dense"])]
    rows.to_csv(ABLATION, index=False)
    one = read_spatial().measured[0]
    assert f"In PCC per gene, mixture of experts {effect}." in in_words(one)
    table = ablation_table(one)
    assert [row[0].text for row in table.rows] == ["mixture of experts"]
    assert all(cell.best == (effect == "helps") for cell in table.rows[0][1:])


def test_a_single_pair_has_no_interval_and_shows_nothing(found):
    found(measured=("starmap_mpfc",), seeds=1)
    rows = pd.read_csv(ABLATION)
    rows[rows["section"] == "BZ5"].to_csv(ABLATION, index=False)
    spatial = read_spatial()
    one = spatial.measured[0]
    assert all(cell.remark == "one pair" for row in ablation_table(one).rows for cell in row[1:])
    assert "help" not in in_words(one)
    assert not re.search(r"\binf\b|\bnan\b", " ".join(picture.alt for picture in pictures(left_out(spatial))))


def test_a_data_set_without_ablation_says_so(found):
    found(measured=("starmap_mpfc",))
    Path(ABLATION).unlink()
    spatial = read_spatial()
    assert Facts([("Ablation", "Not measured on these data.")]) in left_out(spatial).blocks
    assert len(tables_of(spatial.measured[0])) == 4


def test_what_is_missing_or_contradicts_itself_is_named(found):
    found()
    folder = Path("reports/alphastomics/measured")
    (folder / "starmap_mpfc.json").unlink()
    with pytest.raises(ExpectedError, match=r"starmap_mpfc.json not found: `python -m benchmarks.leave_section_out`"):
        read_spatial()
    found(measured=("starmap_mpfc",))
    rows = pd.read_csv(ABLATION)
    rows[rows["variant"] != "reference"].to_csv(ABLATION, index=False)
    with pytest.raises(ExpectedError, match="lacks the variant reference"):
        read_spatial()
    Path(ABLATION).unlink()
    table = pd.read_csv(SCORES)
    table[table["method"].isin(["model", "truth"])].to_csv(SCORES, index=False)
    with pytest.raises(ExpectedError, match=r"spatial.csv: no baseline \(expr_to_pos\): `dvc repro --force"):
        read_spatial()
    table[(table["method"] != "model") | (table["metric"] != "pcc")].to_csv(SCORES, index=False)
    with pytest.raises(ExpectedError, match=r"spatial.csv: no pcc of the model \(pos_to_expr\)"):
        read_spatial()
    pd.concat([table, table]).to_csv(SCORES, index=False)
    with pytest.raises(ExpectedError, match="holds two scores of expr_to_pos, model, spearman_distances"):
        read_spatial()


@pytest.mark.parametrize("name", ["cells", "distances", "genes", "expression"])
def test_a_section_that_a_file_leaves_out_and_a_value_that_is_not_finite_are_named(found, name):
    found(sections=("a", "b"))
    path = Path(f"reports/alphastomics/details/{name}.parquet")
    frame = pd.read_parquet(path)
    frame[frame["section"] == "a"].to_parquet(path)
    with pytest.raises(ExpectedError, match=f"{name}.parquet: nothing about section b"):
        read_spatial()
    column = {"cells": "spread", "genes": "pcc"}.get(name, "predicted")
    frame.loc[3, column] = np.nan
    frame.to_parquet(path)
    with pytest.raises(ExpectedError, match=f"{name}.parquet: a value of {column} is not finite"):
        read_spatial()


def test_cells_are_known_and_stand_there_once(found):
    found()
    folder = Path("reports/alphastomics/details")
    cells = pd.read_parquet(folder / "cells.parquet")
    cells.iloc[1:].to_parquet(folder / "cells.parquet")
    with pytest.raises(ExpectedError, match=r"expression.parquet: holds a cell that is not in cells.parquet"):
        read_spatial()
    pd.concat([cells, cells]).to_parquet(folder / "cells.parquet")
    with pytest.raises(ExpectedError, match="holds a cell of a section twice"):
        read_spatial()


def test_an_undefined_score_is_left_out_and_behind(found):
    found()
    table = pd.read_csv(SCORES)
    table.loc[(table["method"] == "model") & (table["metric"] == "ssim"), "value"] = np.nan
    board = board_of(table)
    assert "ssim" not in [metric.name for metric in board.metrics(POS_TO_EXPR)]
    table.loc[(table["method"] == "ridge") & (table["metric"] == "knn_overlap"), "value"] = np.nan
    cells = {row[0].text: row for row in main_table(board_of(table), EXPR_TO_POS).rows}
    assert cells["ridge"][3].text == "undefined"


def test_nested_means_are_those_of_the_table(found):
    """What is mirrored as metrics, and the page, say the same."""
    board = found(sections=("a", "b")).board
    nested = json.loads(Path("reports/alphastomics/metrics.json").read_text())
    for method in board.methods(EXPR_TO_POS):
        for metric in board.metrics(EXPR_TO_POS):
            assert board.mean(EXPR_TO_POS, method, metric) == pytest.approx(
                nested[EXPR_TO_POS][method.name][metric.name]
            )


def test_the_tables_of_the_results_file_are_unfolded(found):
    for one in found().measured:
        assert all(isinstance(table, Table) and not table.folded for table in tables_of(one))
