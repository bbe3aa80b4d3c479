"""Mixtures for tests: every weight random, so that none is of no consequence."""

from typing import Any

import torch

from pipeline.mole.data.time_features import FEATURES
from pipeline.mole.model.mixture import Mole, MoleConfig

KINDS = [
    ("dlinear", "none"),
    ("dlinear", "last"),
    ("dlinear", "mean"),
    ("rlinear", "none"),
    ("rlinear", "mean"),
]


def mixture(backbone: str, offset: str = "none", experts: int = 4, top_k: int | None = None, **sizes: int) -> Mole:
    torch.manual_seed(0)
    fields: dict[str, Any] = {"backbone": backbone, "experts": experts, "top_k": top_k, "offset": offset}
    fields |= {"lookback": 40, "horizon": 12, "channels": 3, "kernel": 5} | sizes
    model = Mole(MoleConfig(**fields)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.rand_like(weight) + 0.5 if name == "norm.scale_C" else torch.randn_like(weight) / 3)
    return model


def windows(model: Mole, count: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows away from 0, and time features."""
    torch.manual_seed(1)
    x_BCL = torch.randn(count, model.channels, model.lookback).cumsum(2) + 3
    return x_BCL, torch.rand(count, len(FEATURES)) - 0.5
