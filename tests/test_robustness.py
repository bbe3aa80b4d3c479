"""Awkward but honest data, from a lab's file to a prediction: every number is finite, or an error says what to do.

Two epochs each: what is asked here is not whether the models have learned.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from scipy.sparse import csr_matrix

from pipeline.cfm_vc.data.folds import folds
from pipeline.cfm_vc.stages import evaluate, flow_train, ingest, preprocess, score, vae_pretrain
from pipeline.cfm_vc.trained import CfmVc
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.params.runs import Runs
from tests.settled import settled

PARAMS = Path(__file__).parents[1] / "params.yaml"
GENES = 30
AT = StudyPaths("cfm_vc", "pbmc", "held_out", 0)


def design(cell_types: list[str], perturbations: list[str], batches: list[str], cells: int) -> pd.DataFrame:
    """So many cells for every combination."""
    rows = [(c, p, b) for c in cell_types for p in perturbations for b in batches for _ in range(cells)]
    index = [f"cell{i}" for i in range(len(rows))]
    return pd.DataFrame(rows, columns=["cell_type", "perturbation", "batch"], index=index)


def counts_of(obs: pd.DataFrame) -> Any:
    """Every cell type and perturbation has its own profile."""
    random = np.random.default_rng(0)
    effect = {
        name: random.gamma(2.0, 2.0, GENES) for name in [*obs["cell_type"].unique(), *obs["perturbation"].unique()]
    }
    rate = np.stack([effect[c] * effect[p] for c, p in zip(obs["cell_type"], obs["perturbation"], strict=True)])
    return random.poisson(rate / 2 + 0.5)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs all stages in turn, in an empty project, on these cells, and returns the model."""

    def chain(obs: pd.DataFrame, counts: Any, held_out: tuple[str, str], **changes: Any) -> CfmVc:
        monkeypatch.chdir(tmp_path)
        var = pd.DataFrame(index=[f"gene{g}" for g in range(GENES)])
        anndata.AnnData(csr_matrix(counts.astype(np.float32)), obs=obs, var=var).write_h5ad("cells.h5ad")
        params = yaml.safe_load(PARAMS.read_text())
        study = params["cfm_vc"]["studies"]["pbmc"]
        study["ingest"]["path"] = "cells.h5ad"
        pair = {"cell_type": held_out[0], "perturbation": held_out[1]}
        study["held_out"] = [pair]
        params["cfm_vc"]["preprocess"] |= {"highly_variable_genes": GENES, **changes}
        for section in ("vae", "flow"):
            params["cfm_vc"][section] |= {"epochs": 2, "hidden": [16], "learning_rate": 0.001}
        params["cfm_vc"]["vae"] |= {"latent_intrinsic": 4, "latent_technical": 2}
        params["cfm_vc"]["evaluate"] |= {"cells_per_group": 50, "top_genes": [5], "principal_components": 3}
        Path("params.yaml").write_text(yaml.safe_dump(params))
        loaded = settled(Path()).cfm_vc.studies["pbmc"]
        split = folds(loaded, AT.key)["held_out"].preprocess
        ingest.run(loaded.ingest, AT)
        preprocess.run(split, AT)
        vae_pretrain.run(loaded.vae, AT)
        flow_train.run(loaded.flow, AT)
        score.run(loaded.evaluate, AT)
        evaluate.run(Runs(folds={"held_out": [0]}), AT)
        for path in Path("reports").rglob("*.json"):
            assert all(math.isfinite(number) for number in numbers(json.loads(path.read_text()))), path
        for path in Path("reports/cfm_vc/pbmc/details").rglob("*.parquet"):
            table = pq.read_table(path).to_pandas().select_dtypes("number")
            assert np.isfinite(table.to_numpy(float)).all(), path
        return CfmVc.load()

    return chain


def numbers(content: Any) -> Iterator[float]:
    if isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from numbers(value)
    elif isinstance(content, int | float):
        yield content


def check_prediction(model: CfmVc, obs: pd.DataFrame, counts: Any, perturbation: str) -> None:
    """Finite, not negative, and about as many counts in each cell as it had before."""
    var = pd.DataFrame(index=[f"gene{g}" for g in range(GENES)])
    adata = anndata.AnnData(csr_matrix(counts), obs=obs, var=var)
    for output in ("counts", "means"):
        predicted = model.predict(adata, perturbation, cell_type_column="cell_type", output=output)
        x = predicted.X.toarray() if output == "counts" else predicted.X
        assert np.isfinite(x).all()
        assert x.min() >= 0
        assert all(np.isfinite(predicted.obsm[key]).all() for key in predicted.obsm)
    genes = [int(gene.removeprefix("gene")) for gene in model.genes]
    np.testing.assert_allclose(x.sum(1), np.maximum(counts[:, genes].sum(1), 1), rtol=1e-3)


def test_a_single_perturbation(run):
    obs = design(["A", "B"], ["control", "drug"], ["x", "y"], 20)
    counts = counts_of(obs)
    model = run(obs, counts, ("B", "drug"))
    assert model.doses.treatments == ["drug"]
    check_prediction(model, obs, counts, "drug")


def test_a_single_batch(run):
    obs = design(["A", "B"], ["control", "drug", "toxin"], ["only"], 30)
    counts = counts_of(obs)
    check_prediction(run(obs, counts, ("B", "drug")), obs, counts, "drug+toxin")


def test_groups_of_three_cells(run):
    obs = design(["A", "B", "C"], ["control", "drug", "toxin"], ["x"], 3)
    counts = counts_of(obs)
    model = run(obs, counts, ("B", "drug"), min_cells_per_group=3, min_cells_per_gene=1)
    check_prediction(model, obs, counts, "drug")


def test_five_hundred_perturbations(run):
    drugs = [f"drug{i:03d}" for i in range(500)]
    obs = pd.concat([design(["A"], drugs, ["x"], 5), design(["A", "B"], ["control"], ["x"], 60)])
    obs = pd.concat([obs, design(["B"], ["drug000"], ["x"], 5)])
    obs.index = [f"cell{i}" for i in range(len(obs))]
    counts = counts_of(obs)
    model = run(obs, counts, ("B", "drug000"))
    assert len(model.doses.treatments) == 500
    check_prediction(model, obs[:50], counts[:50], "drug499")
    check_prediction(model, obs[:50], counts[:50], "drug001+drug002+drug003")


def test_counts_from_nothing_to_a_hundred_thousand(run):
    obs = design(["A", "B"], ["control", "drug"], ["x", "y"], 20)
    counts = counts_of(obs)
    counts[::3] *= 1_000  # a third of the cells is a thousand times deeper
    counts[:, 4] = np.where(np.arange(len(obs)) % 2, 100_000, 0)
    counts[:, 5] = 0
    counts[10] = 100_000
    model = run(obs, counts, ("B", "drug"))
    counts[0] = 0  # an empty cell, at prediction
    check_prediction(model, obs, counts, "drug")


def test_a_cell_type_without_controls_is_a_clear_error(run):
    obs = pd.concat([design(["A", "B"], ["control", "drug"], ["x"], 20), design(["C"], ["drug"], ["x"], 20)])
    obs.index = [f"cell{i}" for i in range(len(obs))]
    with pytest.raises(ExpectedError, match="'C' has no control cell"):
        run(obs, counts_of(obs), ("B", "drug"))
