"""Statistics of a routing for logs and figures: detached tensors, computed without waiting for the device.

N: tokens, E: experts, K: experts per token, C: classes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.nn.moe.gates import normalised_entropy
from pipeline.nn.moe.routing import Routing
from pipeline.nn.share import total


class Statistics(NamedTuple):
    """Of one routing; all but the first are scalars."""

    utilisation_E: Tensor
    entropy: Tensor
    dropped: Tensor
    spared: Tensor


def statistics_of(routing: Routing) -> Statistics:
    """All that need no labels."""
    slots = max(routing.expert_NK.numel(), 1)
    entropy = mean_entropy(routing)
    return Statistics(utilisation(routing), entropy, routing.dropped() / slots, routing.spared() / slots)


def utilisation(routing: Routing) -> Tensor:
    """Share of the kept slots that each expert has, (E,); zeros where none is kept."""
    load_E = total(expert_counts(routing))
    return load_E / load_E.sum().clamp(min=1)


def mean_entropy(routing: Routing) -> Tensor:
    """Mean over tokens of the normalised entropy of the gate: 0, certain of one expert; 1, uniform."""
    return normalised_entropy(routing.probability_NE.detach()).mean()


def expert_by_label(routing: Routing, label_N: Tensor, classes: int) -> Tensor:
    """How many kept slots of each expert hold a token of each label, (E, C) int64."""
    pair_NK = routing.expert_NK * classes + label_N[:, None]
    return counts(pair_NK, routing.kept_NK, routing.experts * classes).view(routing.experts, classes)


def expert_counts(routing: Routing) -> Tensor:
    """Kept slots of each expert, (E,) int64."""
    return counts(routing.expert_NK, routing.kept_NK, routing.experts)


def counts(value_NK: Tensor, kept_NK: Tensor, values: int) -> Tensor:
    """How often each of 0, ..., values - 1 is among the kept, (values,) int64.

    Added into a result of known length: `bincount` and boolean indexing wait for the device to learn theirs.
    """
    return kept_NK.new_zeros(values, dtype=torch.int64).scatter_add_(
        0, value_NK.reshape(-1), kept_NK.reshape(-1).long()
    )
