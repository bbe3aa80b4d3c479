"""CFM-VC's two networks, small and untrained; their weights are drawn from torch's global generator."""

from typing import Any

from pipeline.cfm_vc.model.flow import FlowConfig, FlowField
from pipeline.cfm_vc.model.vae import Vae, VaeConfig


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
