"""Layer norm whose shift, scale and residual gate are a function of a condition (AdaLN-Zero: Peebles and Xie, 2023).

B: neighbourhoods, N: cells, D: model width, C: width of the condition.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Modulated(NamedTuple):
    """The input of a branch, and what its output is multiplied by before it joins the residual stream."""

    x_BND: Tensor
    gate_B1D: Tensor


class AdaptiveNorm(nn.Module):
    """norm(x) (1 + scale(c)) + shift(c), and a gate that starts at 0, so that a new network passes its input on."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(condition, 3 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x_BND: Tensor, condition_BC: Tensor) -> Modulated:
        shift, scale, gate = self.modulation(condition_BC)[:, None].chunk(3, dim=-1)
        return Modulated(torch.addcmul(shift, self.norm(x_BND), 1 + scale), gate)
