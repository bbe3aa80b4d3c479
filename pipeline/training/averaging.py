"""An exponential moving average of a module's weights (EMA): smoother, and usually better, than the last weights."""

import copy

import torch
from torch import nn


class Average:
    """average <- decay · average + (1 − decay) · weights after every step.

    The decay grows with the steps n as min(decay, (1 + n) / (10 + n)), so that the random start is soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, steps: int) -> None:
        """Take in the weights after this many steps."""
        weight = 1 - min(self._decay, (1 + steps) / (10 + steps))
        own = list(self.module.state_dict().values())
        new = list(module.state_dict().values())
        torch._foreach_lerp_(own, new, weight)
