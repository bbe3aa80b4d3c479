"""What a trained CFM-VC has learned, on simulated cells whose truth is known: the stages, end to end and small."""

from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from pipeline.cfm_vc.data.contexts import Calibration, read_contexts
from pipeline.cfm_vc.model.effects import Effects
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.latents import dense_tensors
from pipeline.cfm_vc.model.predict import predict_cells
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.model.vae import Vae
from pipeline.cfm_vc.stages import flow_train, vae_pretrain
from pipeline.core.paths import StudyPaths
from pipeline.data.store import open_store
from pipeline.registry import load_params
from pipeline.training.weights import load_model

ROOT = Path(__file__).parents[2]
AT = StudyPaths("cfm_vc", "pbmc", "held_out", 0)
STORE = Path("data/processed/cfm_vc/pbmc/held_out")
TYPES = ["type_0", "type_1", "type_2"]


@pytest.fixture
def trained(simulated_store, tmp_path):
    """Trains on a recipe's store with the committed settings, made smaller; gives the store and both models."""

    def train(name, held_out, vae=None, flow=None, **recipe):
        folder = tmp_path / "simulated"
        simulated_store(name, held_out, folder, **recipe)
        params = load_params(ROOT / "params.yaml")
        small = {"hidden": [64], "batch_size": 64, "epochs": 60}
        with chdir(folder):
            vae_pretrain.run(params.cfm_vc.vae.model_copy(update={**small, "latent_intrinsic": 8, **(vae or {})}), AT)
            flow_train.run(params.cfm_vc.flow.model_copy(update={**small, **(flow or {})}), AT)
            models = Path("models/cfm_vc/pbmc/held_out/seed_0")
            return (
                open_store(folder / STORE),
                load_model(models / "vae", Vae)[0],
                load_model(models / "flow", FlowField)[0],
            )

    return train


def controls(store, cell_type, **changes):
    cells = store.read("train")
    control = store.categories["perturbation"].index(store.control)
    chosen = (cells.perturbation == control) & (cells.cell_type == store.categories["cell_type"].index(cell_type))
    return replace(cells.select(np.flatnonzero(chosen)), **changes)


def log_fold_change(store, vae, field, cells, doses):
    """Predicted log fold change of each gene's share of the counts, (G,)."""
    solution = Solution("control")
    plain = Effects(vae, field, solution, read_contexts(store, Calibration(1.0, 0.0))[0])
    made, start = (
        predict_cells(vae, field, cells, store.doses.vector(asked), solution, plain, "means", torch.Generator())
        for asked in (doses, {})
    )
    return np.log(made.x_BG.sum(0) / made.x_BG.sum()) - np.log(start.x_BG.sum(0) / start.x_BG.sum())


def truth(store, cell_type, perturbation):
    table = pd.read_parquet(store.folder / "truth.parquet")
    chosen = table[(table["cell_type"] == cell_type) & (table["perturbation"] == perturbation)]
    return chosen.set_index("gene")["log_fold_change"].loc[store.genes].to_numpy()


def correlation(x, y):
    return float(np.corrcoef(x, y)[0, 1])


def size(change, full):
    """Slope over genes of a change against the full effect. A constant is of no account: shares always add up to 1."""
    return float(np.polyfit(full, change, 1)[0])


def test_the_batch_is_in_z_tech_and_the_cell_type_in_z_int(trained):
    store, vae, _ = trained("batches", [("type_0", "cytokine")], flow={"epochs": 1})
    latents = {}
    for split in ("train", "validation"):
        cells = store.read(split)
        with torch.no_grad():
            posterior = vae.encode(*dense_tensors(cells, torch.device("cpu")))
        latents[split] = {"int": posterior.int_mean_BI.numpy(), "tech": posterior.tech_mean_BT.numpy()}, cells

    def excess(latent, covariate):
        """Accuracy of a linear probe on new cells, from 0 (chance) to 1 (perfect)."""
        (old, old_cells), (new, new_cells) = latents["train"], latents["validation"]
        probe = LogisticRegression(max_iter=2000).fit(old[latent], getattr(old_cells, covariate))
        codes = getattr(new_cells, covariate)
        chance = np.bincount(codes).max() / len(codes)
        return (probe.score(new[latent], getattr(new_cells, covariate)) - chance) / (1 - chance)

    assert excess("tech", "batch") > 0.9
    assert excess("int", "batch") < 0.4 * excess("tech", "batch")
    assert excess("int", "cell_type") > 0.9
    assert excess("tech", "cell_type") < 0.6 * excess("int", "cell_type")


def test_a_combination_never_seen_is_predicted_from_its_parts(trained):
    both = "cytokine+inhibitor"
    store, vae, field = trained("combinations", [(cell_type, both) for cell_type in TYPES])

    def asked(doses, cell_type):
        return log_fold_change(store, vae, field, controls(store, cell_type), doses)

    for cell_type in TYPES:
        true = truth(store, cell_type, both)
        together = asked({"cytokine": 1.0, "inhibitor": 1.0}, cell_type)
        alone = [asked({part: 1.0}, cell_type) for part in ("cytokine", "inhibitor")]
        assert correlation(together, true) > 0.8
        assert all(correlation(together, true) > correlation(part, true) + 0.1 for part in alone)


def test_the_effect_grows_with_the_dose_and_a_dose_never_seen_lies_between_its_neighbours(trained):
    store, vae, field = trained("doses", [(cell_type, "cytokine@10") for cell_type in TYPES])
    for cell_type in TYPES:
        cells, full = controls(store, cell_type), truth(store, cell_type, "cytokine@100")
        sizes = [
            size(log_fold_change(store, vae, field, cells, {"cytokine": dose}), full)
            for dose in (0.1, 1.0, 10.0, 100.0)
        ]
        assert sizes == sorted(sizes)
        assert sizes[1] + 0.05 < sizes[2] < sizes[3] - 0.01
        assert 0.7 < sizes[3] < 1.2
        assert correlation(log_fold_change(store, vae, field, cells, {"cytokine": 10.0}), full) > 0.8


def test_a_response_that_depends_on_the_place_is_predicted_by_place(trained):
    """The recipe's drug acts more strongly towards one edge; without places the field can't know where a cell is."""
    store, vae, field = trained("spatial", [("type_0", "cytokine")])
    cells, full = controls(store, "type_1"), truth(store, "type_1", "cytokine")
    effect = []
    for x in (-1.0, 1.0):
        place = np.array([[x, 0.0]], np.float32).repeat(len(cells), axis=0)
        change = log_fold_change(store, vae, field, replace(cells, spatial=place), {"cytokine": 1.0})
        effect.append(size(change, full))
    nowhere = log_fold_change(store, vae, field, replace(cells, spatial=None), {"cytokine": 1.0})
    assert effect[1] > 1.2 * effect[0] > 0
    assert correlation(nowhere, full) > 0.8


def test_a_cell_type_and_a_batch_never_seen_are_answered_by_what_was_learned_of_the_others(trained):
    store, vae, field = trained("combinations", [("type_0", "cytokine")])
    cells = controls(store, "type_0")
    new = cells.relabelled(cell_type=np.full(len(cells), 3), batch=np.full(len(cells), 2))  # one past the last
    true = truth(store, "type_0", "cytokine")
    unknown = log_fold_change(store, vae, field, new, {"cytokine": 1.0})
    assert correlation(unknown, true) > 0.7
