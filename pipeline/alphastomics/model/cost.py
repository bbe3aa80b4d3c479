"""Parameters of a spatial network: in total, and activated per cell."""

import torch
from torch import nn

from pipeline.alphastomics.model.layer import Layer
from pipeline.alphastomics.model.network import SpatialConfig, SpatialDiffusion
from pipeline.nn.moe import cost
from pipeline.nn.moe.layer import MixtureOfExperts


def parameter_counts(config: SpatialConfig) -> dict[str, int]:
    """Of the network of this configuration: total and activated; ffn_total and ffn_activated, the parts of the
    feed-forward networks in both. No weight is allocated, so networks of any size can be counted."""
    with torch.device("meta"):
        network = SpatialDiffusion(config)
    ffn = [layer.ffn for layer in network.layers if isinstance(layer, Layer)]
    total, ffn_total = _parameters(network), sum(map(_parameters, ffn))
    ffn_activated = sum(map(_activated, ffn))
    return {
        "total": total,
        "activated": total - ffn_total + ffn_activated,
        "ffn_total": ffn_total,
        "ffn_activated": ffn_activated,
    }


def _parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def _activated(ffn: nn.Module) -> int:
    return cost.activated_parameters(ffn) if isinstance(ffn, MixtureOfExperts) else _parameters(ffn)
