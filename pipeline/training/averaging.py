"""An exponential moving average of a module's weights (EMA): smoother, and usually better, than the last weights."""

import copy

import torch
from torch import Tensor, nn


class Average:
    """average <- decay · average + (1 − decay) · weights after every step.

    After n steps the decay is min(decay, (1 + n) / (10 + n)), so that the initial weights soon drop out of the average.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False)
        self._decay = decay
        self._source: nn.Module | None = None
        self._pairs: tuple[list[Tensor], list[Tensor]] = [], []

    @torch.no_grad()
    def update(self, module: nn.Module, steps: int) -> None:
        """Update the average with the weights after this many steps."""
        weight = 1 - min(self._decay, (1 + steps) / (10 + steps))
        if module is not self._source:  # the two lists are the same tensors at every step, and slow to collect
            self._source = module
            self._pairs = list(self.module.state_dict().values()), list(module.state_dict().values())
        torch._foreach_lerp_(*self._pairs, weight)
