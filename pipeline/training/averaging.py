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
        self._counters: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def update(self, module: nn.Module, steps: int) -> None:
        """Update the average with the weights after this many steps."""
        weight = 1 - min(self._decay, (1 + steps) / (10 + steps))
        if module is not self._source:  # the two lists are the same tensors at every step, and slow to collect
            self._source = module
            pairs = list(zip(self.module.state_dict().values(), module.state_dict().values(), strict=True))
            averaged = [pair for pair in pairs if pair[1].is_floating_point()]
            self._pairs = [mine for mine, _ in averaged], [of_module for _, of_module in averaged]
            self._counters = [pair for pair in pairs if not pair[1].is_floating_point()]  # as batch norm has
        torch._foreach_lerp_(*self._pairs, weight)
        for mine, of_module in self._counters:
            mine.copy_(of_module)
