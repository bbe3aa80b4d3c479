"""The optimizer, and the learning rate as a function of the step."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from pipeline.params.optimisation import Optimisation

State = dict[str, list[Tensor]]


class Optimizer:
    """AdamW (Loshchilov and Hutter, 2019), or SGD with momentum, whose weight decay is part of the gradient.

    Torch's functional forms take the steps, which are those of its classes to the bit. The classes would import torch's
    compiler first, more than a second of the start of every training, and sort the weights by kind at every step.

    factors: of each weight, its learning rate over that of the step; by default 1.
    """

    def __init__(
        self, weights: Iterable[nn.Parameter], settings: Optimisation, factors: Sequence[float] | None = None
    ) -> None:
        self._settings = settings
        self._weights: list[Tensor] = list(weights)
        self._factors = [1.0] * len(self._weights) if factors is None else factors
        self._state: State = {"mean": [torch.zeros_like(weight) for weight in self._weights]}  # of the gradients
        if settings.optimizer == "adamw":
            self._state["square"] = [torch.zeros_like(weight) for weight in self._weights]
            self._state["steps"] = [torch.zeros((), device=weight.device) for weight in self._weights]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every weight that has a gradient, at this learning rate times its factor."""
        for factor in dict.fromkeys(self._factors):
            self._move(rate * factor, [i for i, own in enumerate(self._factors) if own == factor])

    def _move(self, rate: float, group: Sequence[int]) -> None:
        settings = self._settings
        moving = [i for i in group if self._weights[i].grad is not None]
        weights = [self._weights[i] for i in moving]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        state = {name: [kept[i] for i in moving] for name, kept in self._state.items()}
        if settings.optimizer == "sgd":
            sgd(
                weights,
                gradients,
                list(state["mean"]),
                fused=True,
                lr=rate,
                momentum=settings.momentum,
                dampening=0.0,
                nesterov=False,
                weight_decay=settings.weight_decay,
                maximize=False,
            )
            return
        adamw(
            weights,
            gradients,
            state["mean"],
            state["square"],
            [],
            state["steps"],
            fused=True,
            amsgrad=False,
            lr=rate,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            weight_decay=settings.weight_decay,
            maximize=False,
        )

    def state_dict(self) -> State:
        """What a resumed training needs, beside the weights."""
        return self._state

    @torch.no_grad()
    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave."""
        for name, kept in self._state.items():
            for mine, saved in zip(kept, state[name], strict=True):
                mine.copy_(saved)


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
