"""Dropout that a generator decides, so that passes with noise can be repeated. Srivastava et al. (2014)."""

import torch
from torch import Tensor

from pipeline.nn.share import drawn


def dropout(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Each value is 0 with probability `rate`, and the others are divided by 1 − `rate`: the mean stays."""
    chance = drawn(lambda shape: torch.rand(shape, generator=generator, device=x.device), x.shape)
    return x * (chance >= rate) / (1 - rate)
