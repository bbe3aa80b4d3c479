"""The chapter of a study with folds: what it says is of all of them, or names the run that it is of."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from pipeline.cfm_vc.decisive import unit_of
from pipeline.cfm_vc.stages.chapter import run
from pipeline.metrics.differences import difference_rows
from pipeline.metrics.results import ALL, Row, read_results, write_results
from pipeline.metrics.runs import Run, gathered
from pipeline.params.chapter import Chapter
from tests.report.simulated_results import AT, HELD_OUT
from tests.report.simulated_results import write_results as write_inputs

FOLDS = dict(zip(("cd14_monocyte", "cd19_b"), HELD_OUT, strict=True))
CELLS = {"cd14_monocyte": 154, "cd19_b": 200}


def of_run(rows: list[Row], unit: str, seed: int, seeds: int) -> list[Row]:
    """What the run of a fold scored: of the first seed as it was, with the intervals of its resamples."""
    rows = [row for row in rows if row.unit == unit]
    if seeds == 1:
        return rows
    scores = [
        replace(row, value=row.value + 0.01 * seed, low=None, high=None)
        if row.role == "model" and row.value is not None
        else row
        for row in rows
        if row.role != "difference"
    ]
    return [*scores, *(row for row in difference_rows(scores) if row.unit != ALL)]


def write_folds(root: Path, seeds: int = 1, change: Callable[[Row], Row] = lambda row: row) -> None:
    """The simulated results as if each group had been held out by a fold of its own."""
    write_inputs(root, genes=60, cells=200)
    rows = [change(row) for row in read_results(AT.results, "a test")]
    quality = json.loads(AT.quality.read_text())
    runs = []
    for fold, group in FOLDS.items():
        for seed in range(seeds):
            at = replace(AT, fold=fold, seed=seed)
            runs.append(Run(at, of_run(rows, unit_of(*group), seed, seeds)))
            for path in (*AT.curves.glob("held_out-0-*"), *AT.training.glob("held_out-0-*")):
                shutil.copy(path, path.with_name(path.name.replace(AT.run, at.run)))
        shutil.copytree(AT.store, replace(AT, fold=fold).store)
        groups = [
            {**entry, **({"split": "test", "after": CELLS[fold]} if key == group else {"split": "train"})}
            for entry in quality["groups"]
            for key in [(entry["cell_type"], entry["perturbation"])]
        ]
        replace(AT, fold=fold).quality.write_text(json.dumps({**quality, "groups": groups}))
    write_results(AT.results, AT, gathered(runs))


def page(of_each: int = 1, **settings: object) -> str:
    """Its visible text. Minus signs and hyphens are plain ones."""
    run(Chapter(folds={fold: list(range(of_each)) for fold in FOLDS}, **settings), replace(AT, fold=None, seed=None))
    html = AT.page.read_text().partition("<body>")[2]
    text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))
    return text.replace("\N{MINUS SIGN}", "-").replace("\N{NON-BREAKING HYPHEN}", "-")


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch) -> None:
    """No picture is looked at here, and drawing them takes most of the time."""
    monkeypatch.setattr("pipeline.plots.theme.render", lambda *_: '<svg xmlns="http://www.w3.org/2000/svg"/>')


@pytest.fixture
def written(tmp_path, monkeypatch) -> Callable[..., None]:
    monkeypatch.chdir(tmp_path)
    return lambda *given, **named: write_folds(tmp_path, *given, **named)


def better(by: float) -> Callable[[Row], Row]:
    """The model ahead of every baseline by as much in Pearson top 100, in each group with an interval of its own."""

    def change(row: Row) -> Row:
        if row.metric != "pearson_change_top100" or row.unit == ALL:
            return row
        if row.role == "difference":
            return replace(row, value=by, low=by - 0.013, high=by + 0.013)
        return row if row.role != "baseline" else replace(row, value=0.5, low=0.4, high=0.6)

    return change


@pytest.mark.parametrize(("by", "ahead"), [(0.025, 2), (0.01, 0), (-0.025, 0)])
def test_groups_are_counted_by_the_intervals_of_their_own_folds(written, by, ahead):
    """Positive control: both exclude 0. Negative: both hold it, or the model is behind."""
    written(change=better(by))
    text = page()
    of = f"2 groups ({sum(CELLS.values())} cells)"
    assert f"By Pearson top 100 it is ahead of every baseline in {ahead} of {of}, beyond the interval." in text


def test_all_folds_groups_are_held_out_in_the_table_of_cells(written):
    written()
    text = page()
    table = text[text.index("Filtering kept") :]
    assert ", the same in every fold." in table
    assert table.count("held out") == 2
    assert "Held-out groups were excluded in turn, each from the training of one of 2 folds." in table


def test_what_is_of_one_run_names_its_fold_and_seed(written):
    written()
    text = page()
    assert "Shown is the first of 2 trainings, that of the fold CD14+ Monocyte, seed 0." in text
    assert len(re.findall(r"best epoch \d+ of 40, of the fold CD14\+ Monocyte, seed 0", text)) == 2
    assert "Loss by epoch, of the fold CD14+ Monocyte, seed 0." in text
    assert "the intrinsic latent (after), by the encoder of the fold CD14+ Monocyte, seed 0." in text
    assert "Predictions are those" not in text  # each group was predicted once


def test_intervals_are_explained_as_they_were_made_with_one_seed(written):
    written()
    text = page()
    assert "the interval is by Student's t over the groups' differences: it covers the choice of groups." in text
    assert "Within a group it is from a paired bootstrap over its cells" in text
    assert "not the choice of groups" not in text
    assert "Means over the held-out groups. ↑" in text  # the means have no intervals
    assert "Scores, with 95 % intervals; ▸" in text  # the groups have


def test_intervals_are_explained_as_they_were_made_with_several_seeds(written):
    written(3)
    text = page(3)
    assert "Within a group the interval is by Student's t over seeds" in text
    assert "bootstrap" not in text
    assert "Means over the held-out groups, ± standard deviation over 3 seeds. ↑" in text
    assert "Dots: means over 3 seeds; lines: one standard deviation over them to each side." in text
    assert text.count("Predictions are those of seed 0.") == 2
    assert "Shown is the first of 6 trainings" in text


def test_a_study_with_one_run_says_what_it_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path, genes=60, cells=200)
    run(Chapter(folds={"held_out": [0]}), AT)
    text = unescape(AT.page.read_text())
    assert "Intervals are from a paired bootstrap over the cells of each held-out group" in text
    assert "Held-out groups were excluded from training." in text
    assert not re.search(r"of the fold|Shown is the first|Predictions are those|of seed", text)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "Not shown: Discrimination, undefined for every method."),
        (1.0, "Not shown: Discrimination, in which every method has the best possible score."),
        (0.5, None),
    ],
)
def test_a_score_that_tells_nothing_is_left_out_and_stays_in_the_table(written, value, reason):
    """Control: a tie below the best possible score is shown."""

    def change(row: Row) -> Row:
        if row.metric != "discrimination":
            return row
        return replace(row, value=0.0 if value is not None and row.role == "difference" else value, low=None, high=None)

    written(change=change)
    text, chapter = page(), json.loads(AT.chapter.read_text())
    assert ("Discrimination ↑" in text.replace("\N{NO-BREAK SPACE}", " ")) == (reason is None)
    assert ("Discrimination ↑" in chapter["results"].replace("\N{NO-BREAK SPACE}", " ")) == (reason is None)
    assert "Perturbation discrimination score" not in text or reason is None
    for said in (text, chapter["results"]):
        assert "Not shown" not in said if reason is None else reason in said
    assert "discrimination" in AT.results.read_text()


def test_the_study_lists_its_own_data_split_seeds_and_settings(written):
    written()
    own = {"ingest.control": "ctrl", "vae.batch_size": 64}
    text = page(path="cells.h5ad", held_out="each cell_type", seeds=[0], own=own)
    for said in (
        "Data cells.h5ad SHA-256 0123456789abcdef",
        "Held out each cell_type Folds cd14_monocyte, cd19_b Seeds 0",
        "Its own settings ingest.control ctrl, vae.batch_size 64",
    ):
        assert said in text


def test_a_score_of_seeds_has_a_deviation_and_not_an_interval(written):
    written(3)
    rows = read_results(AT.results, "a test")
    of_model = [row for row in rows if row.role == "model" and row.metric == "mae" and row.unit == ALL]
    spread = np.std([row.value for row in of_model], ddof=1)
    assert spread == pytest.approx(0.01)
    assert "± 0.01" in page(3)
