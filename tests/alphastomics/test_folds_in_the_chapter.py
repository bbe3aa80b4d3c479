"""The chapter of a study with several runs: what is of one run names it, intervals are explained as they were made."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.alphastomics.decisive import boards
from pipeline.alphastomics.glossary import EXPR_TO_POS
from pipeline.alphastomics.report.chapter import tissue
from pipeline.alphastomics.report.results import Spatial, read_spatial
from pipeline.alphastomics.report.tables import main_table
from pipeline.alphastomics.report.verdict import interval
from pipeline.metrics.results import ALL, read_results
from pipeline.metrics.runs import Run, gathered
from pipeline.report.page import Figures
from tests.alphastomics.simulated_results import AT, FOLDS, RESULTS, Tissue, write_spatial

SECTIONS = ("S 1", "S 2", "S 3")


@pytest.fixture
def found(tmp_path, monkeypatch):
    """A study of these sections, one fold each, and seeds; of several seeds all runs score the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.plots.theme.render", lambda *_: '<svg xmlns="http://www.w3.org/2000/svg"/>')

    def write(sections: tuple[str, ...], folds: dict[str, list[int]]) -> Spatial:
        write_spatial(tmp_path, Tissue(cells=150, genes=12, sections=sections, measured=()))
        rows = [row for row in read_results(Path(RESULTS), "a test") if row.unit != ALL]
        names = dict(zip(folds, sections if len(sections) > 1 else sections * len(folds), strict=True))
        runs = [
            Run(replace(AT, fold=fold, seed=seed), [row for row in rows if row.unit == names[fold]])
            for fold, seeds in folds.items()
            for seed in seeds
        ]
        return replace(read_spatial(AT, FOLDS), boards=boards(gathered(runs)), folds=folds)

    return write


def captions(spatial: Spatial) -> str:
    return " ".join(block.caption for block in tissue(spatial).blocks if isinstance(block, Figures))


def test_folds_of_one_seed(found):
    spatial = found(SECTIONS, {"s_1": [0], "s_2": [0], "s_3": [0]})
    assert "over the sections' differences: it covers other sections" in interval(spatial)
    assert "Within a section it is of a jackknife over 10 blocks" in interval(spatial)
    said = captions(spatial)
    assert "Loss by epoch, of the fold S 1, seed 0." in said
    assert "Shown is the first of 3 trainings, that of the fold S 1, seed 0." in said
    assert "Predictions are those" not in said
    board = spatial.boards[EXPR_TO_POS]
    assert main_table(board, EXPR_TO_POS).caption.startswith("Means over 3 held-out sections. ↑")
    model, baseline, metric = board.models[0], board.baselines[0], board.metrics[0]
    assert all(board.difference(model, baseline, metric, unit).low is not None for unit in board.units)


def test_folds_of_several_seeds(found):
    spatial = found(SECTIONS, {"s_1": [0, 1], "s_2": [0, 1], "s_3": [0, 1]})
    assert "Within a section it is by Student's t over seeds" in interval(spatial)
    assert "jackknife" not in interval(spatial)
    said = captions(spatial)
    assert "Shown is the first of 6 trainings" in said
    assert "Predictions are those of seed 0." in said


def test_blocks_drawn_with_each_seed(found):
    spatial = found(("section_3",), {"blocks_0": [0], "blocks_1": [1]})
    assert "over seeds: it covers other training runs, each with other blocks held out, on the same" in interval(
        spatial
    )
    assert "jackknife" not in interval(spatial)
    assert "Predictions are those of the fold blocks_0, seed 0." in captions(spatial)


def test_one_run_has_nothing_to_name(found):
    spatial = found(("section_3",), {"held_out": [0]})
    assert interval(spatial).startswith("The interval is of a jackknife over 10 blocks")
    said = captions(spatial)
    assert "Loss by epoch. The weights" in said
    assert "Shown is" not in said
