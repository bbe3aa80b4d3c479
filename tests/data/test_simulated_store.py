"""Combinations, doses, places and batch effects of a recipe, all the way into the store."""

import numpy as np
import pandas as pd
import pytest

from pipeline.data.store import SPLITS, Store

TYPES = ["type_0", "type_1", "type_2"]


def log_ratio_TG(store: Store, treated: str, reference: str, covariate: str = "perturbation") -> np.ndarray:
    """Log ratio of mean counts per cell type, over all splits."""
    codes = [store.categories[covariate].index(label) for label in (treated, reference)]
    parts = [store.read(split) for split in SPLITS]
    x_NG = np.concatenate([part.dense(slice(None)) for part in parts])
    label_N = np.concatenate([getattr(part, covariate) for part in parts])
    type_N = np.concatenate([part.cell_type for part in parts])
    means = [
        np.stack([x_NG[(label_N == code) & (type_N == t)].mean(axis=0) for t in range(len(TYPES))]) for code in codes
    ]
    return np.log(means[0] / means[1])


def truth_TG(store: Store, label: str) -> np.ndarray:
    truth = pd.read_parquet(store.folder / "truth.parquet")
    rows = truth[truth["perturbation"] == label].pivot_table(
        index="cell_type", columns="gene", values="log_fold_change", sort=False
    )
    return rows.loc[TYPES, store.genes].to_numpy()


def test_a_combination_held_out_everywhere_is_the_sum_of_what_is_left(simulated_store):
    label = "cytokine+inhibitor"
    store = simulated_store("combinations", [(cell_type, label) for cell_type in TYPES], cells=6000)
    assert store.dataset["combination"] == "+"
    assert store.doses.of_label[label] == {"cytokine": 1.0, "inhibitor": 1.0}
    np.testing.assert_array_equal(
        store.doses.matrix(["control", "cytokine", label, "inhibitor"]), [[0, 0], [1, 0], [1, 1], [0, 1]]
    )
    assert set(store.read("test").perturbation) == {store.categories["perturbation"].index(label)}
    measured, truth = log_ratio_TG(store, label, "control"), truth_TG(store, label)
    assert np.corrcoef(measured.ravel(), truth.ravel())[0, 1] > 0.98
    np.testing.assert_allclose(truth, truth_TG(store, "cytokine") + truth_TG(store, "inhibitor"))


def test_a_dose_held_out_everywhere_lies_between_the_others(simulated_store):
    store = simulated_store("doses", [(cell_type, "cytokine@10") for cell_type in TYPES], cells=6000)
    assert store.doses.treatments == ["cytokine", "inhibitor"]
    entries = store.doses.matrix([f"cytokine@{dose}" for dose in (0.1, 1, 10, 100)])[:, 0]
    assert (np.diff([0, *entries]) > 0).all()
    strengths = [np.abs(truth_TG(store, f"cytokine@{dose}")).mean() for dose in (0.1, 1, 10, 100)]
    assert (np.diff([0, *strengths]) > 0).all()
    measured, truth = log_ratio_TG(store, "cytokine@100", "control"), truth_TG(store, "cytokine@100")
    assert np.corrcoef(measured.ravel(), truth.ravel())[0, 1] > 0.98


def test_places_reach_the_cells_in_their_frame(simulated_store):
    store = simulated_store("spatial", [("type_0", "cytokine")])
    cells = store.read("train")
    assert cells.spatial.shape == (store.cells("train"), store.dimensions) == (len(cells), 2)
    np.testing.assert_allclose(cells.spatial.mean(axis=0), 0, atol=1e-6)
    assert (cells.spatial**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)
    assert set(store.dataset["spatial"]) == {"dimensions", "centre", "scale"}


def test_the_batch_effect_is_as_strong_as_asked_for(simulated_store):
    """Log ratio of two batches: the difference of two normals of standard deviation 1, the same in every cell type."""
    store = simulated_store("batches", [("type_0", "cytokine")], cells=6000)
    ratio_TG = log_ratio_TG(store, "a", "b", "batch")
    assert ratio_TG.std() == pytest.approx(np.sqrt(2), rel=0.25)
    assert np.corrcoef(ratio_TG)[0, 1] > 0.98
    weak = simulated_store(
        "batches", [("type_0", "cytokine")], store.folder.parent / "weak", cells=6000, batch_effect=0.0
    )
    assert log_ratio_TG(weak, "a", "b", "batch").std() < 0.1
