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
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, grouped_mm

from pipeline.nn.mixed_precision import narrowed
from pipeline.nn.moe.fused import FusedExperts, Rows, mixed
from pipeline.nn.moe.routing import Routing

Dispatch = Literal["auto", "sorted", "padded", "grouped", "loop"]

_ALIGNMENT = 16  # bytes: the row alignment that grouped_mm needs
# Rows are padded up to this waste: empty rows times the square root of a row's multiply-adds, per expert. Costly rows
# make waste expensive, while batching saves the overhead of a call per expert. Fitted to
# `python -m benchmarks.mixture --crossing`, 64 to 4,096 slots, D by H from 32 by 64 to 256 by 1,024, 8 experts.
_WASTE = 4_000


class Slots(NamedTuple):
    """The slots that carry a token, sorted by expert, and by token within one."""

    slot_S: Tensor  # int64: which of the N K it is
    token_S: Tensor  # int64
    expert_S: Tensor  # int64, ascending
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
            weight_S = routing.weight_NK.reshape(-1)[slots.slot_S]
            weighted_SD = y_SD * weight_S[:, None].to(y_SD.dtype)
            return weighted_SD.new_zeros(len(x_ND), y_SD.shape[1]).index_add_(0, slots.token_S, weighted_SD)
        weights = (self.up_EDH, self.up_bias_EH, self.down_EHD, self.down_bias_ED)
        x_ND, *weights_of = narrowed(x_ND, *weights)
        rows = rows_of(routing, dispatch, self.up_EDH.shape[1] * self.up_EDH.shape[2])
        arguments: tuple[Any, ...] = x_ND, routing.weight_NK.to(x_ND.dtype), *weights_of, rows
        with torch.autocast(x_ND.device.type, enabled=False):  # all is of one dtype already
            if not torch.is_grad_enabled():
                return mixed(*arguments)[0]
            y_ND: Tensor = FusedExperts.apply(*arguments)  # type: ignore[no-untyped-call]
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
    slots, ranks = routing.expert_NK.numel(), routing.expert_NK.shape[1]
    expert = expert_of_slots(routing)
    load_E = torch.bincount(expert, minlength=routing.experts + 1)[: routing.experts]
    carried = slots if routing.complete else int(load_E.sum())  # int() waits for the device
    slot_S = torch.argsort(expert, stable=True)[:carried]
    return Slots(slot_S, slot_S // ranks, expert.index_select(0, slot_S), load_E)


def rows_of(routing: Routing, dispatch: Dispatch, row_cost: int) -> Rows:
    """The kept slots of a routing in rows by expert, by token within one.

    `padded`: as many rows for each expert as the largest load; `sorted`: no row without a slot; `auto`: the first
    where it wastes little. row_cost: multiply-adds of a row in one product, D H. By numpy, of which a call on so few
    numbers costs a fraction of torch's, and sixteen bits are sorted by radix.
    """
    experts, (tokens, ranks), device = routing.experts, routing.expert_NK.shape, routing.expert_NK.device
    expert = expert_of_slots(routing).cpu().numpy().astype(np.int16)
    load_E = np.bincount(expert, minlength=experts + 1)[:experts]
    carried, largest = int(load_E.sum()), int(load_E.max())
    slot_S, row_S, per_expert = np.argsort(expert, kind="stable")[:carried], np.arange(carried), load_E.tolist()
    token_R = slot_S // ranks
    little = (largest * experts - carried) * math.sqrt(row_cost) <= _WASTE * experts
    if dispatch == "padded" or (dispatch == "auto" and little):
        row_S += np.repeat(np.arange(experts) * largest - (load_E.cumsum() - load_E), load_E)
        per_expert, token_S = [largest] * experts, token_R
        token_R = np.zeros(largest * experts, np.int64)
        token_R[row_S] = token_S
    place = np.full(tokens * ranks, len(token_R))
    place[slot_S] = row_S
    place_NK = torch.from_numpy(place.reshape(tokens, ranks))
    return Rows(torch.from_numpy(token_R).to(device), place_NK.to(device), per_expert)


def expert_of_slots(routing: Routing) -> Tensor:
    """The expert of each slot, (N K,); E of one that carries no token, which sorts last."""
    if routing.complete:
        return routing.expert_NK.reshape(-1)
    return torch.where(routing.kept_NK, routing.expert_NK, routing.experts).reshape(-1)
