"""The trained model as MLflow's registry hands it out."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from pipeline.tracking.project import mirror
from pipeline.tracking.store import open_store

NAME = "celldag-cfm_vc-pbmc"
STORE = "data/processed/cfm_vc/pbmc/held_out"


@pytest.fixture
def trained(project: Any, perturbation_store: Any) -> Any:
    perturbation_store(Path(STORE))
    project.flow()
    project.commit("Train a flow")
    return project


def versions() -> list[Any]:
    with open_store() as client:
        return sorted(client.search_model_versions(f"name = '{NAME}'"), key=lambda version: int(version.version))


def newest() -> str:
    """The version that the alias names."""
    with open_store() as client:
        return str(client.get_model_version_by_alias(NAME, "newest").version)


def load() -> Any:
    import mlflow

    [version] = versions()
    return mlflow.pyfunc.load_model(version.source)


def test_a_registered_model_predicts_expression_from_rows(trained: Any) -> None:
    assert all(run.missing == [] for run in mirror("celldag").runs)
    model = load()
    rows = pd.DataFrame(
        {"perturbation": ["drug", "control", "drug"], "cell_type": ["T", "T", "NK"], "batch": ["a", "b", "never seen"]}
    )
    predicted = model.predict(rows)
    assert list(predicted.columns) == [f"gene{g}" for g in range(12)]
    assert predicted.shape == (3, 12)
    assert np.isfinite(predicted.to_numpy()).all()
    assert (predicted.to_numpy() >= 0).all()
    assert not np.allclose(predicted.iloc[0], predicted.iloc[1])
    pd.testing.assert_frame_equal(model.predict(rows), predicted)
    other = model.predict(rows, params={"seed": 1, "cells": 5, "steps": 2})
    assert not np.allclose(other, predicted)


def test_the_served_prediction_is_the_evaluated_one(trained: Any) -> None:
    """The same cells to start from give, through MLflow, what `evaluate` computes from the models in the project."""

    from pipeline.cfm_vc.model.predict import cfm_vc
    from pipeline.cfm_vc.model.transport import Solution
    from pipeline.cfm_vc.served import question
    from pipeline.cfm_vc.trained import CfmVc

    mirror("celldag")
    row = pd.DataFrame({"perturbation": ["toxin"], "cell_type": ["B"], "batch": ["b"]})
    served = load().predict(row, params={"cells": 10, "steps": 4, "seed": 3}).to_numpy()[0]
    model = CfmVc.load("models/cfm_vc/pbmc/held_out/seed_0")
    asked = question(model, "toxin", "B", "b", dose=None, most=10, seed=3)
    assert asked.perturbation == 2
    assert set(asked.start.batch) == {1}
    assert len(asked.start) == 10
    solution = Solution("control", 4)
    expected = cfm_vc(model.vae, model.field, solution, model.effects(solution), 3, model.device)(asked).mean_G
    np.testing.assert_allclose(served, expected, rtol=1e-6)


def test_doses_and_combinations_are_asked_for_in_a_row(trained: Any) -> None:
    mirror("celldag")
    asked = [("drug", 1.0), ("drug", np.nan), ("drug", 3.0), ("drug+toxin", np.nan), ("toxin+drug", np.nan)]
    rows = pd.DataFrame(asked, columns=["perturbation", "dose"]).assign(cell_type="T", batch="a")
    one, recorded, three, both, turned = load().predict(rows, params={"cells": 10, "steps": 2}).to_numpy()
    np.testing.assert_array_equal(one, recorded)  # 1 is the dose of the training data
    np.testing.assert_array_equal(both, turned)
    assert not np.allclose(three, one)
    assert not np.allclose(both, one)


def test_the_served_model_says_where_it_comes_from(trained: Any) -> None:
    mirror("celldag")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    model = load()
    row = pd.DataFrame({"perturbation": ["drug"], "cell_type": ["B"], "batch": ["b"]})
    [said] = model.predict(row, params={"cells": 2, "provenance": True})["provenance"]
    assert json.loads(said) == model.metadata.metadata
    assert json.loads(said) | {"parameters": None, "vae_sha256": None, "flow_sha256": None} == {
        "commit": commit,
        "dirty": False,
        "dataset_sha256": "0" * 64,
        "vae_sha256": None,
        "flow_sha256": None,
        "parameters": None,
        "members": 1,
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("unheard", "T", "a"), "perturbation 'unheard' is unknown to the model; it knows control, drug, toxin"),
        (("drug", "platelet", "a"), "cell_type 'platelet' is unknown"),
    ],
)
def test_what_the_model_cannot_know_is_refused(trained: Any, row: tuple[str, str, str], message: str) -> None:
    mirror("celldag")
    rows = pd.DataFrame([row], columns=["perturbation", "cell_type", "batch"])
    with pytest.raises(MlflowException, match=message):
        load().predict(rows)


ROW = {"perturbation": "drug", "cell_type": "T", "batch": "a"}


def test_what_a_request_cannot_ask_for_is_one_sentence(trained: Any) -> None:
    """Bounds on every parameter, column and value; today's answers were numbers, tracebacks, or no end."""
    mirror("celldag")
    model = load()
    for rows, params, words in (
        ([ROW], {"steps": -3}, "steps -3: expected a whole number from 1 to 1,000"),
        ([ROW], {"steps": 0}, "steps 0: expected a whole number from 1 to 1,000"),
        ([ROW], {"steps": 2_000_000}, "steps 2000000: expected a whole number from 1 to 1,000"),
        ([ROW], {"cells": -1}, "cells -1: expected a whole number from 1 to 10,000"),
        ([ROW], {"cells": 0}, "cells 0: expected a whole number from 1 to 10,000"),
        ([ROW], {"seed": -1}, "seed -1: expected a whole number from 0 to 4,294,967,295"),
        ([ROW], {"steps": "many"}, "Failed to validate type"),
        ([ROW | {"dose": -1.0}], {}, "row 1: dose -1: expected a number from 0 to 1,000,000,000"),
        ([ROW, ROW | {"dose": 1e30}], {}, "row 2: dose 1e+30: expected a number from 0 to 1,000,000,000"),
        ([ROW | {"dose": "high"}], {}, "row 1: dose 'high': expected a number from 0 to 1,000,000,000"),
        ([ROW | {"dose": np.inf}], {}, "row 1: dose inf: expected a number"),
        ([ROW | {"doses": 1.0}], {}, "unknown column 'doses', perhaps 'dose'"),
        ([{"perturbation": "drug", "cell_type": "T"}], {}, "column 'batch' is missing"),
        ([ROW | {"batch": None}], {}, "row 1: batch None: expected text of at most 1,000 characters"),
        ([ROW | {"cell_type": 3}], {}, "row 1: cell_type 3: expected text of at most 1,000 characters"),
        ([ROW | {"batch": "x" * 10_000}], {}, "expected text of at most 1,000 characters"),
        ([ROW] * 1001, {}, "1,001 rows: expected 1 to 1,000 at 20 steps; split the request"),
        ([ROW] * 51, {"steps": 1000}, "51 rows: expected 1 to 50 at 1000 steps; split the request"),
    ):
        with pytest.raises(MlflowException) as caught:
            model.predict(pd.DataFrame(rows), params=params)
        assert words in caught.value.message
        assert caught.value.get_http_status_code() == 400
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 500


def test_one_version_per_model(trained: Any) -> None:
    mirror("celldag")
    mirror("celldag")
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "Same weights"], check=True)
    mirror("celldag")
    assert [int(version.version) for version in versions()] == [1]

    trained.flow(source="noise")
    trained.commit("Another flow")
    mirror("celldag")
    assert len(versions()) == 2
    assert newest() == "2"
    mirror("celldag", "HEAD~2")  # later, but of an older commit
    assert newest() == "2"


def test_a_past_model_is_registered_from_the_cache(trained: Any) -> None:
    shutil.rmtree("models")
    shutil.rmtree("data")
    assert all(run.missing == [] for run in mirror("celldag", "HEAD").runs)
    assert load().predict(pd.DataFrame([("drug", "T", "a")], columns=["perturbation", "cell_type", "batch"])).shape == (
        1,
        12,
    )


def test_a_lost_model_is_named_and_registered_once_it_is_back(trained: Any) -> None:
    Path("models").rename("away")
    Path(".dvc/cache").rename("cache")
    [vae] = [run for run in mirror("celldag").runs if run.address == "vae_pretrain@pbmc-held_out-0"]
    lost = "models/cfm_vc/pbmc/held_out/seed_0/vae"
    assert vae.missing == [f"the registered model {NAME}, whose {lost} is missing"]
    assert versions() == []
    Path("away").rename("models")
    mirror("celldag")
    assert len(versions()) == 1


def test_nothing_is_pickled(trained: Any) -> None:
    mirror("celldag")
    [version] = versions()
    files = [path for path in Path(version.source.removeprefix("file://")).rglob("*") if path.is_file()]
    assert {path.suffix for path in files if "code" not in path.parts} <= {
        ".safetensors",
        ".json",
        ".py",
        ".txt",
        ".yaml",
        "",
    }
    assert not [path for path in files if path.suffix in {".pkl", ".pt", ".pyc", ".joblib"}]


@pytest.mark.slow
def test_the_served_model_needs_nothing_of_the_project(trained: Any, tmp_path: Path) -> None:
    """Loaded by its registry name in another folder, by a process that finds `pipeline` only inside the model."""
    mirror("celldag")
    code = (
        "import json, sys, mlflow, pandas\n"
        f"model = mlflow.pyfunc.load_model('models:/{NAME}/1')\n"
        "rows = pandas.DataFrame([('drug', 'T', 'a')], columns=['perturbation', 'cell_type', 'batch'])\n"
        "print(json.dumps(model.predict(rows).shape))\n"
        "import pipeline\nprint(pipeline.__file__)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{Path('mlflow.db').resolve()}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shape, where = done.stdout.splitlines()
    assert json.loads(shape) == [1, 12]
    assert "code" in Path(where).parts
