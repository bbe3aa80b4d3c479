"""CFM-VC's two networks, small and untrained, and contexts; weights are drawn from torch's global generator."""

from typing import Any

import numpy as np

from pipeline.cfm_vc.data.contexts import Calibration, Contexts
from pipeline.cfm_vc.model.flow import FlowConfig, FlowField
from pipeline.cfm_vc.model.vae import Vae, VaeConfig
from pipeline.data.cells import Cells, pointers
from pipeline.data.expression import log_normalise


def small_vae(**changes: Any) -> Vae:
    """12 genes, 3 cell types, 2 batches, unless `changes` says otherwise."""
    fields = {
        "genes": 12,
        "cell_types": 3,
        "batches": 2,
        "latent_intrinsic": 4,
        "latent_technical": 2,
        "hidden": [8],
        "decoder_hidden": [],
        "decoder_link": "softplus",
        "covariate_embedding": 3,
        "covariate_dropout": 0.1,
        "normalised_total": 50.0,
    }
    return Vae(VaeConfig(**(fields | changes)))


def small_field(**changes: Any) -> FlowField:
    """The flow between the latents of `small_vae`, for 2 treatments."""
    fields = {
        "dimensions": 4,
        "treatments": 2,
        "cell_types": 3,
        "batches": 2,
        "hidden": [8],
        "time_embedding": 4,
        "covariate_embedding": 3,
        "covariate_dropout": 0.1,
        "perturbation_embedding": 4,
        "basis": 2,
    }
    return FlowField(FlowConfig(**(fields | changes)))


def small_contexts(
    genes: int,
    categories: dict[str, list[str]],
    doses: dict[str, dict[str, float]],
    size: float = 1.0,
    prior_weight: float = 0.0,
    spatial: int = 0,
) -> Contexts:
    """20 controls of each cell type, their mean, and one near it of each group; nothing is calibrated unless asked."""
    random = np.random.default_rng(5)
    types, labels = len(categories["cell_type"]), categories["perturbation"]
    x = random.poisson(2.0, (20 * types, genes)).astype(np.int32)
    rows, columns = np.nonzero(x)
    cells = Cells(
        genes=genes,
        names=np.array([f"control{row}" for row in range(len(x))], object),
        indptr=pointers(np.bincount(rows, minlength=len(x))),
        indices=columns.astype(np.int32),
        counts=x[rows, columns],
        covariates={
            "perturbation": np.full(len(x), labels.index("control")),
            "cell_type": np.repeat(np.arange(types), 20),
            "batch": np.arange(len(x)) % len(categories["batch"]),
        },
        library_size=x.sum(1).astype(np.int64),
        spatial=random.normal(size=(len(x), spatial)).astype(np.float32) if spatial else None,
    )
    groups = [(cell_type, label) for cell_type in range(types) for label in range(len(labels))]
    of_controls = [log_normalise(x, x.sum(1), 24.0)[20 * code : 20 * code + 20].mean(0) for code in range(types)]
    means = {(code, label): of_controls[code].astype(float) for code, label in groups}
    for code, label in groups:
        if labels[label] != "control":
            means[code, label] = np.maximum(means[code, label] + random.normal(0, 0.1, genes), 0)
    names = [f"gene{g}" for g in range(genes)]
    noise = {group: np.full(genes, 1e-4) for group in groups}
    described = (names, categories, "control", 24.0, doses, Calibration(size, prior_weight))
    return Contexts(cells, means, noise, *described)
