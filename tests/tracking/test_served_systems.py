"""A registered model of each system, trained in small: what it answers is what the system itself computes."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.exceptions import MlflowException
from safetensors.numpy import load_file

from pipeline.core.paths import StudyPaths
from pipeline.registry import Params, load_params
from pipeline.served import SERVED
from pipeline.tracking.project import mirror
from pipeline.tracking.store import open_store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params(project: Any) -> Params:
    """The project's own parameters, with the embedded data in reach."""
    Path("data").mkdir(exist_ok=True)
    Path("data/embedded").symlink_to(ROOT / "data/embedded")
    return load_params(ROOT / "params.yaml")


@pytest.fixture
def served(project: Any) -> Callable[..., Any]:
    """Registers the model of a study whose results lie in the working tree, and loads what the alias names."""

    def register(at: StudyPaths, outs: Iterable[Path]) -> Any:
        import mlflow

        run = {"study": at.study, "fold": at.fold, "seed": at.seed}
        plan = {"studies": {"one": {"system": at.system, "study": at.study, "source": "a file"}}}
        plan |= {at.system: {"runs": {"one": run}}} if at.fold else {}
        Path("plan.yaml").write_text(yaml.safe_dump({"plan": plan}))
        stages = {}
        for number, out in enumerate(outs):
            entry = project.folder(str(out)) if out.is_dir() else project.file(str(out))
            stages[f"stage_{number}"] = {"cmd": "true", "outs": [entry]}
        declared = {name: {"cmd": "true", "outs": [stage["outs"][0]["path"]]} for name, stage in stages.items()}
        Path("dvc.yaml").write_text(yaml.safe_dump({"stages": declared}))
        Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
        mirrored = mirror("celldag")
        assert [run.missing for run in mirrored.runs] == [[]] * len(stages)
        mirror("celldag")
        name = f"celldag-{at.system}-{at.study}"
        with open_store() as client:
            [version] = client.search_model_versions(f"name = '{name}'")
            assert client.get_model_version_by_alias(name, "newest").version == version.version
        model = mlflow.pyfunc.load_model(version.source)
        assert model.metadata.signature is not None
        assert model.metadata.metadata["commit"] == mirrored.commit.hash
        pd.testing.assert_frame_equal(model.predict(model.input_example), model.predict(model.input_example))
        return model

    return register


def test_a_forecast_is_that_of_what_validation_prefers(params: Params, served: Any) -> None:
    from pipeline.mole.points import preferred, read_points
    from pipeline.mole.stages import ingest, mole_train, ridge
    from pipeline.mole.trained import Forecaster

    study, at = params.mole.studies["series"], StudyPaths("mole", "series")
    recipe = study.sweep.recipe.model_copy(update={"epochs": 1, "seeds": [0, 1], "horizons": [8, 24], "lookback": 24})
    sweep = study.sweep.model_copy(update={"recipe": recipe})
    ingest.run(study.ingest, at)
    ridge.run(study.ridge.model_copy(update={"lookbacks": [48]}), sweep, at)
    for point in ("dlinear", "mole_dlinear", "mole_rlinear"):
        mole_train.run(sweep, StudyPaths("mole", "series", point=point))
    model = served(at, [*sorted(at.models.iterdir()), at.raw])
    for horizon in (8, 24):
        forecaster = Forecaster.load(at.models, horizon)
        assert forecaster.point.name == preferred(read_points(at.models), horizon).name
        expected = forecaster.forecast(model.input_example)
        found = model.predict(model.input_example, params={"horizon": horizon, "provenance": True})
        np.testing.assert_allclose(found[list(expected.columns[1:])], expected.iloc[:, 1:], rtol=1e-6)
        assert found["date"].tolist() == expected["date"].astype(str).tolist()
        assert json.loads(found["provenance"][0])["model_sha256"] == forecaster.provenance["model_sha256"]
    assert len(model.predict(model.input_example)) == 24
    for rows, asked, words in (
        (model.input_example, {"horizon": 9}, "horizon 9: expected 8, 24"),
        (model.input_example.iloc[:5], {}, f"{forecaster.lookback.rows} or more"),
        (model.input_example.drop(columns="town"), {}, "no 'town'"),
    ):
        with pytest.raises(MlflowException, match=words):
            model.predict(rows, params=asked)


def test_class_probabilities_are_those_of_the_point_that_validation_chose(params: Params, served: Any) -> None:
    from pipeline.bayes_moe.data.images import read_images
    from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
    from pipeline.bayes_moe.stages import evaluate, ingest, ingest_ood, moe_sweep

    study, at = params.bayes_moe.studies["digits"], StudyPaths("bayes_moe", "digits")
    small = {"epochs": 1, "warmup_epochs": 0, "seeds": [3, 0], "width": 2, "hidden": 12, "corrupted_pictures": 5}
    points = {name: study.sweep.points[name] for name in ("dense", "top_1")}
    recipe = study.sweep.recipe.model_copy(update={**small, "samples": [1]})
    sweep = study.sweep.model_copy(update={"recipe": recipe, "points": points})
    ingest.run(study.ingest, at)
    ingest_ood.run(study.ingest_ood, at)
    for point in points:
        moe_sweep.run(sweep, StudyPaths("bayes_moe", "digits", point=point))
    evaluate.run(sweep, study.evaluate.model_copy(update={"replicates": 10}), at)
    model = served(at, [*sorted(at.models.iterdir()), at.results, at.raw])
    chosen = PointPredictions(at.models / "top_1")
    logit_NK = load_file(at.models / "top_1/answers.safetensors")["test"][0] / chosen.temperature_R[0]
    expected = np.exp(logit_NK) / np.exp(logit_NK).sum(1, keepdims=True)
    image_NHWC = read_images(at.raw / "test").image_NHWC
    found = model.predict(image_NHWC[:50])
    np.testing.assert_allclose(found, expected[:50], rtol=1e-3, atol=1e-5)
    assert (model.metadata.metadata["point"], model.metadata.metadata["seed"]) == ("top_1", 3)
    with pytest.raises(MlflowException, match="1001 x 8 x 8 x 1: expected 1 to 1,000 images of 8 x 8 x 1"):
        model.predict(np.zeros((1001, 8, 8, 1), np.uint8))


def test_positions_are_those_that_the_tissue_samples(params: Params, served: Any) -> None:
    from pipeline.alphastomics.served import anndata_of
    from pipeline.alphastomics.stages import diffusion_train, ingest, preprocess
    from pipeline.alphastomics.trained import Tissue
    from pipeline.plan import folds_of_studies

    study, at = params.alphastomics.studies["tissue"], StudyPaths("alphastomics", "tissue", "held_out", 0)
    ingest.run(study.ingest, at)
    preprocess.run(folds_of_studies(params)["alphastomics", "tissue"]["held_out"].preprocess, at)
    small = {"epochs": 1, "neighbourhoods_per_epoch": 2}
    diffusion_train.run(study.diffusion.model_copy(update=small), at)
    model = served(at, [at.model, at.store])
    asked = {"draws": 2, "steps": 10, "seed": 4}
    found = model.predict(model.input_example, params={**asked, "provenance": True})
    expected = Tissue.load(at.model).sample(
        anndata_of(model.input_example), "expr_to_pos", cell_type_column="cell_type", **asked
    )
    np.testing.assert_allclose(found[["x", "y"]], expected.obsm["spatial"], rtol=1e-5)
    assert json.loads(found["provenance"][0])["arguments"]["seed"] == 4
    for cells, told, words in (
        (model.input_example.iloc[:1], {}, "1 cell: expected 2 to 2,000"),
        (model.input_example.assign(sections="a"), {}, "column 'sections' holds no counts"),
        (model.input_example, {"draws": 0}, "draws 0: expected a whole number from 1 to 1,000"),
    ):
        with pytest.raises(MlflowException, match=words):
            model.predict(cells, params=told)


@pytest.mark.parametrize("system", sorted(SERVED))
def test_a_served_model_requires_what_its_code_names(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ast
    import importlib.metadata

    from workflow.closure import module_closure

    monkeypatch.chdir(ROOT)
    packages, named = importlib.metadata.packages_distributions(), {"mlflow"}
    files = [file for file in module_closure(f"pipeline.{system}.served") if file.endswith(".py")]
    assert not [file for file in files if Path(file).parts[0] == "workflow"]  # not among what MLflow keeps
    for file in files:
        for node in ast.walk(ast.parse(Path(file).read_bytes())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            firsts = {module.partition(".")[0] for module in modules}
            named |= {packages[first][0].lower() for first in firsts & set(packages) - {"mlflow"}}
    assert named == set(SERVED[system].REQUIREMENTS)
