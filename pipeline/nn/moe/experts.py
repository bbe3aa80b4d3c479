"""Experts, a feed-forward network each, and the ways to dispatch tokens to them.

All give the same result:
- `loop`: expert by expert, with its tokens: the reference, and what any device and any precision can do.
- `sorted`: rows sorted by expert, products expert by expert, gradients by hand (see `fused`).
- `padded`: the same with every expert's rows filled up to the largest load, so that products are batched.
- `grouped`: rows sorted by expert, and one grouped product for all of them: no copy per expert, no list of the loads
  on the host, which a GPU would have to be waited for.

N: tokens, K: experts per token, S: slots that carry a token, E: experts, D: dimensions, H: hidden.
"""

import math
from itertools import accumulate
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, grouped_mm

from pipeline.nn.mixed_precision import narrowed
from pipeline.nn.moe.fused import FusedExperts, Rows
from pipeline.nn.moe.routing import Routing

Dispatch = Literal["auto", "sorted", "padded", "grouped", "loop"]

_ALIGNMENT = 16  # bytes: the row alignment that grouped_mm needs
_COUNTED = 16  # experts: up to here, counting in a table (experts x slots) is faster than sorting the slots
# Rows are padded up to this waste: empty rows times the square root of a row's multiply-adds, per expert. Costly rows
# make waste expensive, while batching saves the overhead of a call per expert. Fitted to
# `python -m benchmarks.mixture --crossing --apart`, 64 to 4,096 slots, D by H from 32 by 64 to 256 by 1,024, 8 experts,
# 2 threads: of its 84 cells the rule loses more than 5 % in one, 8 %.
_WASTE = 10_000


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
        if dispatch == "auto" and x_ND.device.type != "cpu":
            dispatch = "grouped" if self._can_group(x_ND) else "loop"
        if dispatch in ("grouped", "loop"):
            slots = slots_of(routing)
            y_SD = self._grouped(x_ND, slots) if dispatch == "grouped" else self._loop(x_ND, slots)
            weighted_SD = y_SD * slots.weight_S[:, None].to(y_SD.dtype)
            return weighted_SD.new_zeros(len(x_ND), y_SD.shape[1]).index_add_(0, slots.token_S, weighted_SD)
        weights = (self.up_EDH, self.up_bias_EH, self.down_EHD, self.down_bias_ED)
        x_ND, *weights_of = narrowed(x_ND, *weights)
        weight_NK, rows = routing.weight_NK.to(x_ND.dtype), rows_of(routing, dispatch, self.up_EDH[0].numel())
        with torch.autocast(x_ND.device.type, enabled=False):  # all is of one dtype already
            y_ND: Tensor = FusedExperts.apply(x_ND, weight_NK, *weights_of, rows)  # type: ignore[no-untyped-call]
        return y_ND

    def one(self, x_SD: Tensor, expert: int) -> Tensor:
        """One expert's output for these tokens, (S, D_out)."""
        hidden_SH = gelu(torch.addmm(self.up_bias_EH[expert], x_SD, self.up_EDH[expert]))
        return torch.addmm(self.down_bias_ED[expert], hidden_SH, self.down_EHD[expert])

    def _can_group(self, x_ND: Tensor) -> bool:
        widths = (width for weight in (self.up_EDH, self.down_EHD) for width in weight.shape[1:])
        aligned = all(width * x_ND.element_size() % _ALIGNMENT == 0 for width in widths)
        return aligned and x_ND.dtype in (torch.float32, torch.bfloat16)

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


def slots_of(routing: Routing) -> Slots:
    """The kept slots of a routing, sorted."""
    ranks = routing.expert_NK.shape[1]
    expert = expert_of_slots(routing)
    load_E = torch.bincount(expert, minlength=routing.experts + 1)[: routing.experts]
    carried = len(expert) if routing.complete else int(load_E.sum())  # int() waits for the device
    order = torch.argsort(expert, stable=True)[:carried]
    return Slots(order // ranks, expert[order], routing.weight_NK.reshape(-1)[order], load_E)


def rows_of(routing: Routing, dispatch: Dispatch, row_cost: int) -> Rows:
    """The kept slots of a routing in rows by expert, by token within one.

    `padded`: as many rows for each expert as the largest load; `sorted`: no row without a slot; `auto`: the first
    where it wastes little. row_cost: multiply-adds of a row in one product, D H.
    """
    tokens, ranks = routing.expert_NK.shape
    expert = expert_of_slots(routing)
    nth, per_expert = nth_of_its_expert(expert, routing.experts)
    largest, carried = max(per_expert), sum(per_expert)
    padded = largest * routing.experts
    little = (padded - carried) * math.sqrt(row_cost) <= _WASTE * routing.experts
    if dispatch == "padded" or (dispatch == "auto" and little):
        per_expert = [largest] * routing.experts
    rows = sum(per_expert)
    first_E = torch.tensor([0, *accumulate(per_expert)], device=expert.device)  # and where the last one's rows end
    place = first_E.index_select(0, expert) + nth
    if carried < len(expert):
        place.clamp_(max=rows)
    token = torch.arange(tokens, device=expert.device)[:, None].expand(-1, ranks).reshape(-1)
    token_R = torch.zeros(rows + 1, dtype=torch.int64, device=expert.device).scatter_(0, place, token)[:rows]
    return Rows(token_R, place.view(tokens, ranks), per_expert)


def expert_of_slots(routing: Routing) -> Tensor:
    """The expert of each slot, (N K,); E of one that carries no token."""
    if routing.complete:
        return routing.expert_NK.reshape(-1)
    return torch.where(routing.kept_NK, routing.expert_NK, routing.experts).reshape(-1)


def nth_of_its_expert(expert: Tensor, experts: int) -> tuple[Tensor, list[int]]:
    """How many slots before it each slot's expert has, and how many each expert has in all."""
    if experts <= _COUNTED and len(expert) > 0:
        taken = expert == torch.arange(experts + 1, device=expert.device)[:, None]
        count = taken.cumsum(1, dtype=torch.int32)
        return count.gather(0, expert[None])[0] - 1, count[:experts, -1].tolist()
    order = torch.argsort(expert, stable=True)
    load_E = torch.bincount(expert, minlength=experts + 1)
    first_S = (load_E.cumsum(0) - load_E).index_select(0, expert)
    position = torch.arange(len(expert), device=expert.device)
    return torch.empty_like(order).scatter_(0, order, position) - first_S, load_E[:experts].tolist()
