"""The stage that judges predictions: what it writes, that it repeats, and that the truth reaches no prediction."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.cfm_vc.data.contexts import Calibration, read_contexts, save_contexts
from pipeline.cfm_vc.data.held_out import read_held_out
from pipeline.cfm_vc.evaluation.judge import judge, other_perturbations, role_of
from pipeline.cfm_vc.evaluation.result_rows import result_rows
from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.cfm_vc.model.baselines import BASELINES
from pipeline.cfm_vc.model.question import Prediction
from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.cfm_vc.stages import evaluate, score
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.data.expression import log_normalise
from pipeline.metrics.results import COLUMNS
from pipeline.metrics.scoreboard import Estimate, scoreboard
from pipeline.metrics.verdict import compare
from pipeline.params.runs import Runs
from pipeline.training.weights import save_model
from tests.cfm_vc.small_models import small_field, small_vae

GENES = 12
SETTINGS = Evaluate(
    solver="euler",
    steps=3,
    guidance=1.0,
    cells_per_group=30,
    top_genes=[5, 10],
    principal_components=4,
    bootstrap_replicates=20,
    seed=0,
    threads=1,
    device="cpu",
)
ROLES = {
    "cfm_vc": "model",
    "control_mean": "baseline",
    "perturbation_mean": "baseline",
    "additive_shift": "baseline",
    "nearest_context": "baseline",
    "ridge": "baseline",
    "kernel_ridge": "baseline",
    "latent_arithmetic": "baseline",
    "shuffled_labels": "control",
    "truth": "control",
    "split_half": "ceiling",
}
METHODS = list(ROLES)
METRICS = [
    "pearson_change",
    "pearson_change_top5",
    "pearson_change_top10",
    "slope_change",
    "mse",
    "mae",
    "wmse",
    "r2_weighted",
    "e_distance",
    "mmd",
    "discrimination",
    "de_overlap_top5",
    "de_overlap_top10",
    "de_direction",
    "wasserstein",
    "wasserstein_top10",
    "truth_pearson_change",
]
UNITS = ["drug in T", "toxin in B", "all"]
AT = StudyPaths("cfm_vc", "pbmc", "held_out", 0)
OUTS = [
    "reports/cfm_vc/pbmc/headlines/pearson_change_top10.json",
    "reports/cfm_vc/pbmc/results.csv",
    "reports/cfm_vc/pbmc/details/change.parquet",
    "reports/cfm_vc/pbmc/details/population.parquet",
    "reports/cfm_vc/pbmc/details/expression_latent.parquet",
    "reports/cfm_vc/pbmc/headlines/e_distance.json",
]


@pytest.fixture
def project(tmp_path, monkeypatch, perturbation_store):
    """Makes a project with a small store and untrained models, and works in it."""

    def make(name: str = "project", source: str = "control", **store_options):
        folder = tmp_path / name
        store = perturbation_store(folder / AT.store, **store_options)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            vae, flow = small_vae(genes=GENES), small_field()
        save_model(folder / AT.model / "vae", vae, {})
        save_model(folder / AT.model / "flow", flow, {"source": source})
        save_contexts(folder / AT.model / "contexts", read_contexts(store, Calibration(1.2, 0.5))[0])
        monkeypatch.chdir(folder)
        return store

    return make


def run(settings):
    """The stages `score` and `evaluate`."""
    score.run(settings, AT)
    evaluate.run(Runs(folds={"held_out": [0]}), AT)


def rows():
    with Path(OUTS[1]).open() as stream:
        return list(csv.DictReader(stream))


def scores(unit=None):
    """{(unit, method): {metric: value}} of the table without differences, empty fields as None."""
    found = {}
    for row in rows():
        if row["role"] != "difference":
            group = found.setdefault((row["unit"], row["method"]), {})
            group[row["metric"]] = float(row["value"]) if row["value"] else None
    return found if unit is None else {method: values for (name, method), values in found.items() if name == unit}


def test_it_writes_scores_of_every_method_on_every_held_out_group(project, capsys):
    project()
    run(SETTINGS)
    table, means = scores(), scores("all")
    assert list(table) == [(unit, method) for unit in UNITS for method in METHODS]
    for (_, method), found in table.items():
        covered = [name for name in found if name.startswith("coverage")]
        assert [name for name in found if name not in covered] == METRICS
        assert bool(covered) == (method == "cfm_vc")  # the others have no intervals
    for method in METHODS:
        for metric in METRICS:
            values = [table[unit, method][metric] for unit in UNITS[:2]]
            assert np.mean(values) == means[method][metric]
    printed = capsys.readouterr().out
    assert "mean over 2 held-out groups" in printed
    assert "*" in printed


def test_the_table_is_long_with_roles_and_intervals_around_the_values(project):
    project()
    run(SETTINGS)
    for row in rows():
        assert list(row) == list(COLUMNS)
        assert (row["system"], row["study"], row["seed"]) == ("cfm_vc", "pbmc", "")
        assert row["role"] == ROLES.get(row["method"], "difference")
        if row["metric"] == "truth_pearson_change" and row["role"] != "ceiling" and row["method"] != "truth":
            assert row["low"] == row["high"] == ""  # neither a fixed prediction nor the simulation is a sample
        else:
            assert float(row["low"]) <= float(row["value"]) <= float(row["high"])


def test_the_model_is_compared_with_every_baseline_on_the_same_resamples(project):
    """Positive and negative control of the pairing: the interval of a difference is narrower than of either side, and
    that of a method with itself is a point at 0."""
    store = project(cells_per_group=200)
    held_out = read_held_out(store, 200, 0)
    shift, none = BASELINES["additive_shift"], BASELINES["control_mean"]

    def worse(question):
        answer = shift(question)
        return Prediction(answer.mean_G + 0.05, answer.population_BG)

    settings = SETTINGS.model_copy(update={"bootstrap_replicates": 200, "cells_per_group": 200})
    methods = {"same": shift, "worse": worse, "additive_shift": shift, "control_mean": none}
    found = result_rows(store, judge(store, held_out, methods, settings))
    board = scoreboard(found, GLOSSARY)
    mse, baseline = board.metric("mse"), board.method("additive_shift")

    def compared(model, metric=mse):
        return compare(board, metric, model=board.method(model), baseline=baseline)

    assert compared("same").difference == Estimate(0.0, 0.0, 0.0)
    assert compared("same").standing == compared("same", board.metric("e_distance")).standing == "level"
    assert compared("worse").standing == "behind"
    assert compare(board, mse, model=board.method("same"), baseline=board.method("control_mean")).standing == "ahead"
    difference, alone = compared("worse").difference, board.estimate(board.method("worse"), mse)
    assert difference.high - difference.low < alone.high - alone.low
    for unit in UNITS:
        ours, theirs = (board.estimate(board.method(name), mse, unit).value for name in ("worse", "additive_shift"))
        assert board.difference(board.method("worse"), baseline, mse, unit).value == pytest.approx(ours - theirs)


def test_the_headlines_are_the_decisive_scores_beside_the_best_baseline(project):
    project()
    run(SETTINGS)
    means = scores("all")
    for path, metric, sign in ((OUTS[0], "pearson_change_top10", 1), (OUTS[-1], "e_distance", -1)):
        found = json.loads(Path(path).read_text())
        best = max((means[name][metric] for name, role in ROLES.items() if role == "baseline"), key=lambda v: sign * v)
        assert (found["score"], found["baseline"]) == (means["cfm_vc"][metric], best)
        assert found["gain"] == pytest.approx(sign * (found["score"] - best))
        assert found["gain_low"] <= found["gain"] <= found["gain_high"]


def test_without_replicates_there_are_no_intervals_and_the_same_scores(project):
    project()
    run(SETTINGS)
    expected = scores()
    run(SETTINGS.model_copy(update={"bootstrap_replicates": 0}))
    assert all(row["low"] == row["high"] == "" for row in rows())
    for key, found in scores().items():
        assert found == pytest.approx(expected[key], rel=1e-12)


def test_the_controls_land_where_they_must(project):
    project(cells_per_group=200)
    run(SETTINGS)
    means = scores("all")
    for metric, value in means["truth"].items():
        if metric in ("e_distance", "mmd"):
            assert value < 0
        elif metric == "truth_pearson_change":
            assert value > 0.9
        else:
            assert value == pytest.approx(0 if metric.startswith(("m", "w")) else 1, abs=1e-9)
    shuffled, none, good = (means[name] for name in ("shuffled_labels", "control_mean", "additive_shift"))
    for metric in ("mse", "e_distance", "mmd"):
        assert shuffled[metric] > 0.8 * none[metric]
        assert good[metric] < 0.25 * none[metric]
    assert abs(shuffled["pearson_change"]) < 0.5 < 0.9 < good["pearson_change"]


def test_a_positive_control_that_misses_stops_the_stage(project, monkeypatch):
    project()
    monkeypatch.setattr("pipeline.cfm_vc.metrics.response.mse", lambda *_: np.array([0.5]))
    with pytest.raises(ExpectedError, match=r"positive control of T under drug does not score perfectly: mse is 0\.5"):
        run(SETTINGS)
    assert not Path("reports").exists()


def test_a_prediction_that_is_not_finite_stops_the_stage(project):
    store = project()
    held_out = read_held_out(store, 30, 0)

    def broken(question):
        return Prediction(np.full(GENES, np.nan), question.expression_BG)

    with pytest.raises(ExpectedError, match="broken predicts values for T under drug that are not finite"):
        judge(store, held_out, {"broken": broken}, SETTINGS)


@pytest.mark.parametrize("cells", [3, 5])
def test_groups_of_a_few_cells_have_scores_or_none_but_never_nan(project, cells):
    project(cells_per_group=cells)
    run(SETTINGS)
    undefined = {row["metric"] for row in rows() if row["value"] == "" and row["role"] != "ceiling"}
    assert undefined <= {"de_direction"}  # without a DE gene there is no direction
    assert "nan" not in Path(OUTS[0]).read_text().lower() + Path(OUTS[1]).read_text().lower()


def test_any_methods_can_be_judged_without_the_stage(project):
    """What benchmarks do: several models, no pictures of them, no file written."""
    store = project()
    findings = judge(store, read_held_out(store, 30, 0), {"other_model": BASELINES["ridge"]}, SETTINGS)
    assert [method for _, method, _ in findings.scores[:4]] == ["other_model", "shuffled_labels", "truth", "split_half"]
    assert role_of("other_model") == "model"
    assert list(findings.scores[0][2]) == METRICS
    assert not Path("reports").exists()


def test_discrimination_is_among_all_perturbations_whose_truth_is_known(project):
    """In each cell type one perturbation is held out and the other trained on."""
    store = project()
    held_out = read_held_out(store, 30, 0)
    drug, toxin = held_out.groups
    assert other_perturbations(held_out, drug) == [held_out.known[2, 2]]
    both = replace(held_out, groups=[drug, replace(toxin, cell_type=2, perturbation=3)])
    assert other_perturbations(both, drug)[1:] == [toxin.truth]


def test_baselines_score_what_a_plain_computation_gives(project):
    store = project()
    run(SETTINGS)
    cells = {split: store.read(split) for split in ("train", "validation", "test")}
    known = [cells["train"], cells["validation"]]
    controls = np.concatenate([c.library_size[c.perturbation == 0] for c in known])
    target = np.median(controls)

    def mean(parts, cell_type, perturbation):
        rows = [c.select(np.flatnonzero((c.cell_type == cell_type) & (c.perturbation == perturbation))) for c in parts]
        return np.concatenate([log_normalise(r.dense(slice(None)), r.library_size, target) for r in rows]).mean(axis=0)

    truth = mean([cells["test"]], 2, 1) - mean(known, 2, 0)
    change = np.mean([mean(known, t, 1) - mean(known, t, 0) for t in (0, 1)], axis=0)
    found = scores()
    assert found["drug in T", "control_mean"]["pearson_change"] == 0
    assert found["drug in T", "control_mean"]["mse"] == pytest.approx(np.mean(truth**2), rel=1e-4)
    expected = np.corrcoef(truth, change)[0, 1]
    assert found["drug in T", "additive_shift"]["pearson_change"] == pytest.approx(expected, rel=1e-4)


def test_an_effect_shared_by_cell_types_is_found_by_the_mean_and_missed_by_no_effect(project):
    """Positive and negative control through the whole stage."""
    project(cells_per_group=200)
    run(SETTINGS)
    means = scores("all")
    assert means["additive_shift"]["pearson_change"] > 0.9
    assert means["additive_shift"]["truth_pearson_change"] > 0.9
    assert means["split_half"]["pearson_change"] > 0.9
    assert means["control_mean"]["pearson_change"] == 0
    for metric in ("mse", "mae", "e_distance", "mmd"):
        for good in ("additive_shift", "split_half"):
            assert means[good][metric] < 0.25 * means["control_mean"][metric]


def test_the_figures_tables_hold_what_was_scored(project):
    project()
    run(SETTINGS)
    change = pd.read_parquet(OUTS[2])
    assert list(change) == [
        "cell_type",
        "perturbation",
        "gene",
        "method",
        "change_true",
        "change_predicted",
        "de_rank",
    ]
    assert len(change) == 2 * 8 * GENES
    for (cell_type, perturbation, method), rows in change.groupby(["cell_type", "perturbation", "method"]):
        assert sorted(rows["de_rank"]) == list(range(1, GENES + 1))
        found = scores()[f"{perturbation} in {cell_type}", method]["mse"]
        assert np.mean((rows["change_true"] - rows["change_predicted"]) ** 2) == pytest.approx(found)
    population = pd.read_parquet(OUTS[3])
    assert population.groupby(["cell_type", "perturbation", "origin"]).size().eq(30).all()
    assert set(population["origin"]) == {"true", "generated", "control", "additive_shift"}
    latent = pd.read_parquet(OUTS[4])
    assert list(latent) == ["cell", "cell_type", "batch", "perturbation", "space", "x", "y"]
    assert latent.groupby("space").size().to_dict() == {"expression": 7 * 30, "z_int": 7 * 30}
    assert not set(zip(latent["cell_type"], latent["perturbation"], strict=True)) & {("T", "drug"), ("B", "toxin")}


@pytest.mark.parametrize("source", ["control", "noise"])
def test_two_runs_are_byte_identical(project, source):
    project(source=source)
    run(SETTINGS)
    first = [Path(out).read_bytes() for out in OUTS]
    run(SETTINGS)
    assert [Path(out).read_bytes() for out in OUTS] == first


def test_the_truth_reaches_no_prediction(project):
    def predicted():
        run(SETTINGS)
        change = pd.read_parquet(OUTS[2])
        generated = pd.read_parquet(OUTS[3]).query("origin == 'generated'")
        return change["change_true"], change["change_predicted"], len(generated)

    project("one")
    true, change, cells = predicted()
    project("other", test_factor=5)
    other_true, other_change, other_cells = predicted()
    assert not np.allclose(true, other_true)
    pd.testing.assert_series_equal(change, other_change, check_exact=True)
    assert cells == other_cells


def test_without_models_the_message_says_what_to_run(perturbation_store, tmp_path, monkeypatch):
    perturbation_store(tmp_path / AT.store)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExpectedError, match="no usable model in models/cfm_vc/pbmc/held_out/seed_0/vae"):
        run(SETTINGS)
    assert not Path("reports").exists()
