"""What is said of a training whose loss or gradient is not finite."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from pipeline.core.errors import ExpectedError

NAMED = 5  # examples of the minibatch


def all_finite(parts: Mapping[str, float]) -> bool:
    """Whether every part of the loss is a finite number."""
    return all(map(math.isfinite, parts.values()))


def not_finite(
    title: str, parts: Mapping[str, float], names: Sequence[str], where: str, objective: nn.Module
) -> ExpectedError:
    """The message: what is not finite and where, the examples, and the likely cause."""
    broken = [name for name, value in parts.items() if not math.isfinite(value)]
    bad_weights = [name for name, weight in objective.named_parameters() if not bool(torch.isfinite(weight).all())]
    cause = (
        f"the weights are not finite either ({', '.join(bad_weights[:3])}): the training has diverged; lower "
        "learning_rate or gradient_clip"
        if bad_weights
        else "the weights are finite, so either the update before was too large (lower learning_rate or "
        "gradient_clip) or these examples are: look for extreme values among them"
    )
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ExpectedError(
        f"{title}: {', '.join(broken)} is not finite in {where}; "
        f"in the batch: {', '.join(names[:NAMED])}{more}; likely cause: {cause}"
    )
