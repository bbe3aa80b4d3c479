"""What a card could do at best with a program: an estimate from shapes and data sheets, never a measurement.

A program takes at least as long as its numbers take through the memory, and as its arithmetic takes at the peak rate:
the longer of the two is its shortest time. Starting operations, the way from and to the host and everything that keeps
an operation from its peak come on top: on programs as small as these, most of the time.
Source of the model: Williams, Waterman, Patterson, "Roofline" (2009).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from pipeline.mole.data.time_features import FEATURES
from pipeline.mole.model.mixture import MoleConfig
from pipeline.mole.ttnn.constants import plan_of
from pipeline.mole.ttnn.count_ops import CountOps
from pipeline.mole.ttnn.goals import GOALS, meets
from pipeline.mole.ttnn.programs import Plan, forecast, place_constants, place_inputs

LABEL = (
    "An estimate, not a measurement: the time that memory bandwidth and peak arithmetic alone would take, from shapes "
    "and data sheets; starting operations and the way from and to the host come on top."
)


class Card(NamedTuple):
    """A card's figures as its maker publishes them."""

    bandwidth_gb_per_second: float
    peak_tflops: dict[str, float]
    source: str
    note: str


CARDS = {
    "n150": Card(
        288,
        {"bfloat16": 74, "bfloat8_b": 148},
        "docs.tenstorrent.com, Wormhole PCIe cards, specifications of n150d and n150s",
        "bfloat16 is the figure given for FP16, bfloat8_b that for BLOCKFP8",
    ),
    "p150": Card(
        512,
        {"bfloat16": 332, "bfloat8_b": 664},
        "docs.tenstorrent.com, Blackhole PCIe cards, specifications of p150a and p150b (120 Tensix cores)",
        "bfloat8_b is the figure given for BLOCKFP8; none is given for 16 bits: half of it is assumed, as on n150",
    ),
}


class Estimate(NamedTuple):
    """Of one program on one card."""

    flops_per_sequence: float
    bytes_per_sequence: float
    latency_ms: float
    sequences_per_second: float
    bound: str  # memory or compute


def estimate(card: Card, plan: Plan, constants: Mapping[str, torch.Tensor], data_type: str) -> Estimate:
    """The shortest time of a minibatch; a sequence is one window of all channels."""
    counted = CountOps(data_type)
    x_BCL = torch.empty(plan.batch, plan.channels, plan.lookback, device="meta")
    inputs = place_inputs(counted, plan, x_BCL, torch.empty(plan.batch, len(FEATURES), device="meta"))
    forecast(counted, plan, place_constants(counted, plan, constants), *inputs)
    by_memory = counted.bytes / (card.bandwidth_gb_per_second * 1e9)
    by_arithmetic = counted.flops / (card.peak_tflops[data_type] * 1e12)
    seconds = max(by_memory, by_arithmetic)
    return Estimate(
        counted.flops / plan.batch,
        counted.bytes / plan.batch,
        seconds * 1e3,
        plan.batch / seconds,
        "memory" if by_memory >= by_arithmetic else "compute",
    )


def rooflines(
    points: Mapping[str, tuple[MoleConfig, Mapping[str, torch.Tensor]]],
    batch_sizes: Sequence[int],
    shown: Sequence[int],
    data_types: Sequence[str],
) -> dict[str, Any]:
    """Estimates of these points (configuration and constants, by name) by card, and the goals they meet.

    Both are nested by point, card and data type. Estimates are told of the batch sizes in `shown` only, goals sought at
    all of them; the figures used stand beside them, for a reader to check.
    """
    estimates: dict[str, Any] = {}
    goals: dict[str, Any] = {goal: {} for goal in GOALS}
    for name, (config, constants) in points.items():
        estimates[name] = {card: {} for card in CARDS}
        for goal in GOALS:
            goals[goal][name] = {card: {} for card in CARDS}
        for card, figures in CARDS.items():
            for data_type in data_types:
                found = {n: estimate(figures, plan_of(config, n), constants, data_type) for n in batch_sizes}
                estimates[name][card][data_type] = {str(n): found[n]._asdict() for n in shown}
                rates = [(value.sequences_per_second, value.latency_ms) for value in found.values()]
                for goal, needed in GOALS.items():
                    goals[goal][name][card][data_type] = meets(rates, *needed)
    cards = {name: card._asdict() for name, card in CARDS.items()}
    return {"label": LABEL, "cards": cards, "points": estimates, "goals": goals}
