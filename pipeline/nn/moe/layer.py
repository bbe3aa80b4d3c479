"""A mixture of experts in place of a feed-forward network.

N: tokens, D: dimensions, E: experts, K: experts per token.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.nn.moe.experts import Dispatch, Experts
from pipeline.nn.moe.gates import GATES
from pipeline.nn.moe.routing import Routing, within_capacity
from pipeline.nn.share import everywhere


class Mixed(NamedTuple):
    """Outputs (N, D_out) and the routing behind them."""

    y_ND: Tensor
    routing: Routing


class MixtureOfExperts(nn.Module):
    """A gate and E experts of width `hidden_per_expert`, by default max(1, hidden // E): as many parameters as one
    network of width `hidden`, and K/E of its arithmetic.

    capacity_factor: each expert takes at most ceil(factor · N K / E) slots, the rest are dropped (None: dropless).
    """

    def __init__(
        self,
        dimensions: int,
        hidden: int,
        experts: int,
        k: int,
        *,
        gate: str = "top_k",
        outputs: int | None = None,
        hidden_per_expert: int | None = None,
        capacity_factor: float | None = None,
        temperature: float = 1.0,
        adaptive_entropy: float = 0.0,
        dispatch: Dispatch = "auto",
    ) -> None:
        """ValueError where k is not from 1 to `experts`, or a factor or temperature is not above 0."""
        super().__init__()
        if capacity_factor is not None and not capacity_factor > 0:
            raise ValueError(f"capacity factor {capacity_factor} is not above 0")
        self.gate = GATES[gate](dimensions, experts, k, temperature, adaptive_entropy)
        width = max(1, hidden // experts) if hidden_per_expert is None else hidden_per_expert
        self.experts = Experts(experts, dimensions, width, outputs)
        self.capacity_factor, self.dispatch = capacity_factor, dispatch

    def forward(self, x_ND: Tensor, generator: torch.Generator | None = None, sample: bool | None = None) -> Mixed:
        """Mix; `sample`: whether the gate draws its noise, see `TopKGate.forward`."""
        routing = self.gate(x_ND, generator, sample)
        if self.capacity_factor is not None:
            routing = _limited(routing, self.capacity_factor)
        return Mixed(self.experts(x_ND, routing, self.dispatch), routing)


def _limited(routing: Routing, factor: float) -> Routing:
    """The routing within the capacity, which the tokens of the whole minibatch share."""
    (expert_NK, kept_NK), own = everywhere(routing.expert_NK, routing.kept_NK, uneven=True)
    capacity = math.ceil(factor * expert_NK.numel() / routing.experts)
    return routing.only(within_capacity(expert_NK, kept_NK, routing.experts, capacity)[own])
