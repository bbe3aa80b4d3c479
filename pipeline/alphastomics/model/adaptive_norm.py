"""Layer norm and residual gates that are functions of a condition: AdaLN-Zero (Peebles and Xie, "Scalable diffusion
models with transformers", 2023).

B: neighbourhoods, N: cells, D: model width, C: width of the condition.
"""

import torch
from torch import Tensor, nn


class AdaptiveNorm(nn.Module):
    """norm(x) (1 + scale(c)) + shift(c); scale and shift start at 0."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = _zeros(condition, 2 * width)

    def forward(self, x_BND: Tensor, condition_BC: Tensor) -> Tensor:
        shift, scale = self.modulation(condition_BC)[:, None].chunk(2, dim=-1)
        return torch.addcmul(shift, self.norm(x_BND), 1 + scale)


class AdaptiveGate(nn.Module):
    """What a branch is multiplied by before it joins the residual stream; it starts at 0, so that a new network passes
    its input on."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.gate = _zeros(condition, width)

    def forward(self, x_BND: Tensor, condition_BC: Tensor) -> Tensor:
        gated_BND: Tensor = x_BND * self.gate(condition_BC)[:, None]
        return gated_BND


def _zeros(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
