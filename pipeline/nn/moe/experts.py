"""Experts, a feed-forward network each, and three ways to carry every token to its own.

All give the same result:
- `loop`: expert by expert, with its tokens: the reference, and what any device and any precision can do.
- `grouped`: slots sorted by expert, and one grouped product for all experts: no padding, no copy per expert.
- `padded`: every expert's slots filled up to the largest load, and one batched product: few, small products.

N: tokens, K: experts per token, S: slots that carry a token, E: experts, D: dimensions, H: hidden, C: largest load.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, grouped_mm

from pipeline.nn.moe.routing import Routing

Dispatch = Literal["auto", "grouped", "padded", "loop"]

_ALIGNMENT = 16  # bytes: what grouped_mm asks of a row
_PADDED_BELOW = 256  # slots, taken to be few; no benchmark has placed the line yet


class Slots(NamedTuple):
    """The slots that carry a token, sorted by expert, and by token within one."""

    token_S: Tensor  # int64
    expert_S: Tensor  # int64, ascending
    weight_S: Tensor
    load_E: Tensor  # int64


class Experts(nn.Module):
    """E networks gelu(x W_up + b_up) W_down + b_down, from D by H to D_out."""

    def __init__(self, experts: int, dimensions: int, hidden: int, outputs: int | None = None) -> None:
        super().__init__()
        outputs = dimensions if outputs is None else outputs
        self.up_EDH = nn.Parameter(torch.empty(experts, dimensions, hidden))
        self.up_bias_EH = nn.Parameter(torch.zeros(experts, hidden))
        self.down_EHD = nn.Parameter(torch.empty(experts, hidden, outputs))
        self.down_bias_ED = nn.Parameter(torch.zeros(experts, outputs))
        for weight in (self.up_EDH, self.down_EHD):  # as nn.Linear, from the inputs of one expert
            bound = 1 / math.sqrt(weight.shape[1])
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, x_ND: Tensor, routing: Routing, dispatch: Dispatch = "auto") -> Tensor:
        """Σ_k weight_k expert_k(x) of each token, (N, D_out); a token whose slots were all dropped gets zeros."""
        slots = slots_of(routing)
        if dispatch == "auto":
            dispatch = self._fastest(x_ND, len(slots.token_S))
        y_SD = {"grouped": self._grouped, "padded": self._padded, "loop": self._loop}[dispatch](x_ND, slots)
        weighted_SD = y_SD * slots.weight_S[:, None].to(y_SD.dtype)
        return weighted_SD.new_zeros(len(x_ND), y_SD.shape[1]).index_add_(0, slots.token_S, weighted_SD)

    def one(self, x_SD: Tensor, expert: int) -> Tensor:
        """One expert's output for these tokens, (S, D_out)."""
        hidden_SH = gelu(torch.addmm(self.up_bias_EH[expert], x_SD, self.up_EDH[expert]))
        return torch.addmm(self.down_bias_ED[expert], hidden_SH, self.down_EHD[expert])

    def _fastest(self, x_ND: Tensor, slots: int) -> Dispatch:
        rows = (width for weight in (self.up_EDH, self.down_EHD) for width in weight.shape[1:])
        aligned = all(width * x_ND.element_size() % _ALIGNMENT == 0 for width in rows)
        if slots < _PADDED_BELOW or not aligned or x_ND.dtype not in (torch.float32, torch.bfloat16):
            return "padded"
        return "grouped"

    def _loop(self, x_ND: Tensor, slots: Slots) -> Tensor:
        parts = torch.split(slots.token_S, slots.load_E.tolist())
        return torch.cat([self.one(x_ND[token_S], expert) for expert, token_S in enumerate(parts)])

    def _grouped(self, x_ND: Tensor, slots: Slots) -> Tensor:
        offsets_E = slots.load_E.cumsum(0).to(torch.int32)
        x_SD = x_ND.index_select(0, slots.token_S)
        hidden_SH = grouped_mm(x_SD, self.up_EDH, offs=offsets_E)
        hidden_SH = gelu(hidden_SH + self.up_bias_EH.index_select(0, slots.expert_S))
        y_SD = grouped_mm(hidden_SH, self.down_EHD, offs=offsets_E)
        return y_SD + self.down_bias_ED.index_select(0, slots.expert_S)

    def _padded(self, x_ND: Tensor, slots: Slots) -> Tensor:
        experts, largest = len(slots.load_E), int(slots.load_E.max())
        first_E = slots.load_E.cumsum(0) - slots.load_E
        place_S = torch.arange(len(slots.token_S), device=x_ND.device) - first_E[slots.expert_S]
        row_S = slots.expert_S * largest + place_S
        x_SD = x_ND.index_select(0, slots.token_S)
        x_ECD = x_ND.new_zeros(experts * largest, x_ND.shape[1]).index_copy(0, row_S, x_SD)
        x_ECD = x_ECD.view(experts, largest, x_ND.shape[1])
        hidden_ECH = gelu(torch.baddbmm(self.up_bias_EH[:, None], x_ECD, self.up_EDH))
        y_ECD = torch.baddbmm(self.down_bias_ED[:, None], hidden_ECH, self.down_EHD)
        return y_ECD.flatten(0, 1).index_select(0, row_S)


def slots_of(routing: Routing) -> Slots:
    """The kept slots of a routing, sorted."""
    ranks = routing.expert_NK.shape[1]
    expert = torch.where(routing.kept_NK, routing.expert_NK, routing.experts).reshape(-1)
    load_E = torch.bincount(expert, minlength=routing.experts + 1)[: routing.experts]
    order = torch.argsort(expert, stable=True)[: int(load_E.sum())]
    return Slots(order // ranks, expert[order], routing.weight_NK.reshape(-1)[order], load_E)
