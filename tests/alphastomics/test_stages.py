"""diffusion_train as a process: repeated, killed and continued, refused; evaluate@alphastomics-tissue: its tables and
controls."""

import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from pipeline.alphastomics.data.folds import folds
from pipeline.alphastomics.data.sections import read_sections
from pipeline.alphastomics.decisive import CEILING, COVERAGE
from pipeline.alphastomics.evaluation.judge import coverage_name
from pipeline.alphastomics.evaluation.tables import SHOWN_PAIRS
from pipeline.alphastomics.metrics.placement import SCORES
from pipeline.alphastomics.model.baselines import EXPRESSION, PLACEMENT
from pipeline.alphastomics.model.calibration import LEVELS
from pipeline.alphastomics.stages import evaluate, ingest, preprocess, score
from pipeline.core.files import read_json
from pipeline.core.paths import StudyPaths
from pipeline.data.store import open_store
from pipeline.metrics.results import difference_name
from pipeline.params.runs import Runs
from pipeline.registry import load_params
from tests.settled import settled
from tests.stages.stage_process import ROOT, kill_after, run, run_from_start

pytestmark = pytest.mark.slow

AT = StudyPaths("alphastomics", "tissue", "held_out", 0)
ENERGY = "energy_score_over_gyration"
PLACED = (*SCORES, ENERGY, *map(coverage_name, LEVELS))
OUTS = [
    "models/alphastomics/tissue/held_out/seed_0",
    "reports/alphastomics/tissue/training/held_out-0.json",
    "reports/alphastomics/tissue/curves/held_out-0.csv",
]
TISSUE = {
    "sections": 3,
    "cells_per_section": 150,
    "genes": 20,
    "cell_types": ["B", "NK", "T"],
    "domains": 3,
    "markers_per_type": 2,
    "depth": {"genes": 6, "log_fold_change": 1.5},
    "lateral": {"genes": 4, "log_fold_change": 1.0},
    "patches": {"genes": 2, "log_fold_change": 0.8},
}
SMALL = {
    "neighbourhood": 24,
    "neighbourhoods_per_epoch": 8,
    "dimensions": 8,
    "layers": 1,
    "heads": 2,
    "hidden": 8,
    "experts": 2,
    "top_k": 1,
    "batch_size": 4,
    "epochs": 2,
}


def configure(folder: Path, **diffusion: object) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    study = params["alphastomics"]["studies"]["tissue"]
    study["ingest"]["path"] = "tissue.yaml"
    study["held_out"] = ["section_3"]
    params["alphastomics"]["preprocess"].update(min_counts_per_cell=0, min_genes_per_cell=0)
    params["alphastomics"]["diffusion"].update(**SMALL | diffusion)
    # The test section is larger than what is sampled together: it is stitched.
    params["alphastomics"]["evaluate"].update(draws=2, steps=10, neighbourhood=64)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    settled(folder)


def judge_study(folder: Path) -> None:
    """The stages `score` and `evaluate`, in the working directory."""
    settings = load_params(folder / "params.yaml").alphastomics.studies["tissue"].evaluate
    score.run(settings, AT)
    evaluate.run(Runs(folds={"held_out": [0]}), AT)


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a small store of simulated tissue."""
    folder = tmp_path_factory.mktemp("tissue")
    recipe = yaml.safe_load((ROOT / "data/embedded/tissue.yaml").read_text())
    (folder / "tissue.yaml").write_text(yaml.safe_dump(recipe | TISSUE))
    configure(folder)
    with chdir(folder):
        study = load_params().alphastomics.studies["tissue"]
        ingest.run(study.ingest, AT)
        preprocess.run(folds(study, AT.key)["held_out"].preprocess, AT)
    return folder


@pytest.fixture
def project(tissue: Path, tmp_path: Path):
    """Makes a copy of it with parameters of the training changed."""

    def make(name: str, **diffusion: object) -> Path:
        folder = tmp_path / name
        shutil.copytree(tissue, folder)
        configure(folder, **diffusion)
        return folder

    return make


def train(folder: Path, code: int = 0) -> str:
    return run(folder, "pipeline.alphastomics.stages.diffusion_train", AT.instance, code=code)


def outs(folder: Path) -> dict[str, bytes]:
    found = [folder / out for out in OUTS]
    files = [file for path in found for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def trained(tissue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "project"
    shutil.copytree(tissue, folder)
    train(folder)
    return folder


def test_training_writes_a_model_that_says_what_it_was_trained_on(trained: Path) -> None:
    config = read_json(trained / "models/alphastomics/tissue/held_out/seed_0/config.json")
    store = open_store(trained / "data/processed/alphastomics/tissue/held_out", "spatial")
    assert config["genes"] == store.genes
    assert config["categories"] == store.categories
    assert config["neighbourhood"] == 24
    assert config["config"]["orientation"] == "shared"
    assert sorted(config["frames"]) == ["section_1", "section_2"]  # not that of the test section
    assert config["noising"]["steps"] == 1000
    assert config["provenance"]["parameters"]["epochs"] == 2
    metrics = read_json(trained / "reports/alphastomics/tissue/training/held_out-0.json")
    assert metrics["epochs"] == 2
    assert {"loss", "expression", "stress", "neighbours", "frame", "hidden", "balance"} <= set(metrics["train"])
    weights = load_file(trained / "models/alphastomics/tissue/held_out/seed_0/weights.safetensors")
    assert sum(part.size for part in weights.values()) >= metrics["parameters"]
    assert all(np.isfinite(part).all() for part in weights.values())
    assert len(pd.read_csv(trained / "reports/alphastomics/tissue/curves/held_out-0.csv")) == 2


def test_two_runs_from_clean_are_the_same_bytes_and_another_seed_gives_others(trained: Path, project) -> None:
    again, other = project("again"), project("other")
    run_from_start(again, "pipeline.alphastomics.stages.diffusion_train", AT.instance)
    params = yaml.safe_load((other / "params.yaml").read_text())
    params["alphastomics"]["studies"]["tissue"]["seeds"] = [1]
    (other / "params.yaml").write_text(yaml.safe_dump(params))
    settled(other)
    run(other, "pipeline.alphastomics.stages.diffusion_train", "tissue-held_out-1")
    assert len(outs(trained)) == 4  # weights, configuration, metrics, curve
    assert outs(again) == outs(trained)
    weights = "models/alphastomics/tissue/held_out/seed_0/weights.safetensors"
    assert (other / weights.replace("seed_0", "seed_1")).read_bytes() != outs(trained)[weights]


@pytest.mark.parametrize(
    "changes", [{}, {"ffn": "dense", "orientation": "free", "attention": "linear", "prediction": "v"}]
)
def test_a_training_that_was_killed_ends_in_the_same_bytes(project, changes: dict[str, str]) -> None:
    # Long enough that the process does not end between its second epoch's line and the kill.
    folder = project("project", epochs=12, patience=12, **changes)
    train(folder)
    uninterrupted = outs(folder)
    shutil.rmtree(folder / "models")
    shutil.rmtree(folder / "reports")
    kill_after(folder, "pipeline.alphastomics.stages.diffusion_train", AT.instance, said=" validation ", times=2)
    assert not (folder / "models").exists()
    assert "continues at epoch" in train(folder)
    assert outs(folder) == uninterrupted
    assert not list((folder / ".checkpoints/diffusion_train").glob("*/*"))
    assert not list(folder.rglob("*.partial"))


def test_a_section_smaller_than_a_neighbourhood_is_refused_with_what_to_do(project) -> None:
    folder = project("project", neighbourhood=140)
    store = open_store(folder / "data/processed/alphastomics/tissue/held_out", "spatial")
    sizes = {part.name: len(part.cells) for part in read_sections(store, "train")}
    assert max(sizes.values()) < 140
    output = train(folder, code=2)
    assert output.count("error: ") == 1
    assert "Traceback" not in output
    for name, size in sizes.items():
        assert f"{name} ({size})" in output
    assert f"set alphastomics.diffusion.neighbourhood to {min(sizes.values())} or fewer" in output
    assert not (folder / "models").exists()
    configure(folder, neighbourhood=min(sizes.values()))
    train(folder)


@pytest.fixture(scope="module")
def evaluated(trained: Path) -> Path:
    with chdir(trained):
        judge_study(trained)
    return trained


def scores(folder: Path) -> pd.Series:
    """By task, section, method and metric, without differences."""
    table = pd.read_csv(folder / "reports/alphastomics/tissue/results.csv")
    table = table[(table["unit"] != "all") & (table["role"] != "difference")]
    assert np.isfinite(table["value"]).all()
    table["task"] = np.where(table["metric"].isin(PLACED), "expr_to_pos", "pos_to_expr")
    return table.set_index(["task", "unit", "method", "metric"])["value"].sort_index()


def test_every_method_and_control_is_scored_on_the_test_section(evaluated: Path) -> None:
    found = scores(evaluated)
    own = {"model", "model_untyped", "model_draw", "truth", "shuffled"}
    assert set(found.index.get_level_values("unit")) == {"section_3"}
    placed, filled = found["expr_to_pos"], found["pos_to_expr"]
    assert set(placed.index.get_level_values("method")) == own | set(PLACEMENT)
    assert set(filled.index.get_level_values("method")) == own | set(EXPRESSION) | {CEILING}
    ceiling = filled.xs(CEILING, level="method")
    assert set(ceiling.index.get_level_values("metric")) == {"pcc"}  # what noise leaves to gain is known of one score
    filled = filled.drop(CEILING, level="method")
    assert set(placed.index.get_level_values("metric")) == set(PLACED)
    of_all = placed[~placed.index.get_level_values("metric").str.startswith(COVERAGE)]  # only the model has regions
    assert of_all.groupby("method").size().nunique() == filled.groupby("method").size().nunique() == 1


def test_the_model_is_compared_with_every_baseline_with_an_interval(evaluated: Path) -> None:
    table = pd.read_csv(evaluated / "reports/alphastomics/tissue/results.csv")
    table["task"] = np.where(table["metric"].isin(PLACED), "expr_to_pos", "pos_to_expr")
    single = table.set_index(["task", "unit", "method", "metric"])["value"]
    differences = table[(table["role"] == "difference") & table["method"].str.startswith("model - ")]
    assert (differences["low"] <= differences["value"]).all()
    assert (differences["value"] <= differences["high"]).all()
    for row in differences.itertuples():
        ours, theirs = (single[row.task, row.unit, name, row.metric] for name in row.method.split(" - "))
        assert row.value == pytest.approx(ours - theirs, abs=2e-5)
    for task, baselines in (("expr_to_pos", PLACEMENT), ("pos_to_expr", EXPRESSION)):
        of_task = differences[differences["task"] == task]
        assert set(of_task["method"]) == {f"model - {name}" for name in baselines}
    competing = table[table["role"].isin(["model", "baseline"])]
    assert competing[["low", "high"]].notna().all(axis=None)
    alone = table[table["unit"] == "all"].drop(columns="unit").reset_index(drop=True)  # of one section: the same
    pd.testing.assert_frame_equal(
        alone.sort_values(["method", "metric"], ignore_index=True),
        table[table["unit"] != "all"].drop(columns="unit").sort_values(["method", "metric"], ignore_index=True),
    )


def test_the_regions_of_the_models_places_are_judged(evaluated: Path) -> None:
    placed = scores(evaluated)["expr_to_pos", "section_3"]
    for method in ("model", "model_untyped"):
        covered = [placed[method, coverage_name(level)] for level in LEVELS]
        assert covered == sorted(covered)
        assert 0.5 < placed[method, "coverage_90"] <= 1
    cells = pd.read_parquet(evaluated / "reports/alphastomics/tissue/details/cells.parquet")
    assert np.mean(cells["error"] <= cells["radius_90"]) == pytest.approx(placed["model", "coverage_90"], abs=1e-6)
    assert (cells["spread"] > 0).all()


def test_the_headlines_are_decisive_scores_beside_the_best_baseline(evaluated: Path) -> None:
    found = scores(evaluated)
    folder = evaluated / "reports/alphastomics/tissue/headlines"
    gains = pd.read_csv(folder.parent / "results.csv").set_index(["unit", "method", "metric"])["value"]
    assert {path.stem for path in folder.iterdir()} == {"spearman_distances", "knn_overlap", "pcc"}
    for task, metric, baselines in (
        ("expr_to_pos", "spearman_distances", PLACEMENT),
        ("expr_to_pos", "knn_overlap", PLACEMENT),
        ("pos_to_expr", "pcc", EXPRESSION),
    ):
        headline = read_json(folder / f"{metric}.json")
        of_task = found[task, "section_3"]
        best = max(baselines, key=lambda name: of_task[name, metric])
        score, baseline = of_task["model", metric], of_task[best, metric]
        assert headline["score"] == pytest.approx(score, abs=1e-6)
        assert headline["baseline"] == pytest.approx(baseline, abs=1e-6)
        assert headline["gain"] == gains.loc["section_3", difference_name("model", best), metric]
        assert headline["gain"] == pytest.approx(score - baseline, abs=1e-6)  # of rounded numbers
        assert headline["gain_low"] <= headline["gain"] <= headline["gain_high"]


def test_the_truth_scores_perfectly_and_shuffled_cells_by_chance(evaluated: Path) -> None:
    placed = scores(evaluated)["expr_to_pos", "section_3"]
    filled = scores(evaluated)["pos_to_expr", "section_3"]
    for metric in SCORES:
        perfect = 0.0 if "rmsd" in metric else 1.0
        assert placed["truth", metric] == pytest.approx(perfect, abs=1e-5), metric
    assert placed["truth", ENERGY] == pytest.approx(0, abs=1e-5)
    assert placed["shuffled", ENERGY] > placed["model", ENERGY]
    assert abs(placed["shuffled", "spearman_distances"]) < 0.1
    assert placed["shuffled", "knn_overlap"] == pytest.approx(10 / 149, abs=0.05)
    assert placed["shuffled", "contact_f1"] == pytest.approx(0.1, abs=0.05)
    for metric, perfect in (("pcc", 1.0), ("ssim", 1.0), ("js", 0.0), ("moran_difference", 0.0)):
        assert filled["truth", metric] == pytest.approx(perfect, abs=1e-4), metric
    assert abs(filled["shuffled", "pcc"]) < 0.1
    # what learns from other sections of this tissue lies between
    assert 0.3 < placed["ridge", "spearman_distances"] < 1
    assert 0.1 < filled["knn_in_space", "pcc"] < 1


def test_the_reports_tables_are_of_the_section_in_the_unit_of_the_input(evaluated: Path) -> None:
    folder = evaluated / "reports/alphastomics/tissue/details"
    (test,) = read_sections(open_store(evaluated / "data/processed/alphastomics/tissue/held_out", "spatial"), "test")
    cells = pd.read_parquet(folder / "cells.parquet")
    assert cells["cell"].tolist() == test.cells.names.tolist()
    true_NS = cells[["true_0", "true_1"]].to_numpy()
    np.testing.assert_allclose(true_NS, test.frame.restored(test.position_NS), rtol=1e-6)
    assert np.abs(true_NS).max() > 100  # micrometres, not the frame's
    predicted_NS = cells[["predicted_0", "predicted_1"]].to_numpy()
    np.testing.assert_allclose(predicted_NS.mean(0), true_NS.mean(0), rtol=1e-3)  # aligned
    assert (cells["spread"] > 0).all()
    assert set(cells["cell_type"]) <= {"B", "NK", "T"}
    distances = pd.read_parquet(folder / "distances.parquet")
    assert 1900 < len(distances) <= SHOWN_PAIRS
    largest = np.linalg.norm(true_NS[:, None] - true_NS, axis=2).max()
    assert 0 < distances["true"].min() <= distances["true"].max() <= largest * 1.001
    genes = pd.read_parquet(folder / "genes.parquet")
    assert len(genes) == len(test.cells.dense(slice(1))[0]) * (5 + len(EXPRESSION))
    examples = pd.read_parquet(folder / "expression.parquet")
    assert examples.groupby("role").size().to_dict() == {"best": 150, "median": 150, "worst": 150}
    pcc = genes[genes["method"] == "model"].set_index("gene")["pcc"]
    chosen = examples.groupby("role")["gene"].first()
    assert pcc[chosen["worst"]] <= pcc[chosen["median"]] <= pcc[chosen["best"]]
    assert pcc[chosen["best"]] == pcc.max()


def test_an_evaluation_is_the_same_bytes_again(evaluated: Path) -> None:
    def written() -> dict[str, bytes]:
        reports = evaluated / "reports/alphastomics/tissue"
        files = [reports / "results.csv", *(reports / "headlines").iterdir(), *(reports / "details").iterdir()]
        return {str(file): file.read_bytes() for file in files}

    before = written()
    assert len(before) == 1 + 3 + 4
    with chdir(evaluated):
        judge_study(evaluated)
    assert written() == before
