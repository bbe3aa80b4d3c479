"""The step that training takes along the gradient: which rule, and how long a step at which time."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from pipeline.params.optimisation import Optimisation


def make_optimizer(weights: Iterable[nn.Parameter], settings: Optimisation) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter, 2019), or SGD with momentum, whose weight decay is part of the gradient."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=settings.momentum, weight_decay=decay, fused=True)
    return torch.optim.AdamW(weights, lr=rate, weight_decay=decay, fused=True)


def learning_rate(settings: Optimisation, step: int, steps_per_epoch: int) -> float:
    """The learning rate of this step, the first being 0: a function of the step alone, so that a resumed run has it.

    constant: always the same. cosine: a linear rise over `warmup_epochs`, which ends at the full rate, then half a
    cosine that would reach 0 one step after the last (Loshchilov and Hutter, "SGDR", 2017, without restarts).
    """
    if settings.schedule == "constant":
        return settings.learning_rate
    rise, steps = settings.warmup_epochs * steps_per_epoch, settings.epochs * steps_per_epoch
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))
