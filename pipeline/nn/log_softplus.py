"""log log(1 + e^u), far into both tails."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

_EXPONENTIAL_BELOW = -15.0  # log(1 + e^u) is e^u (1 − e^u/2 + ...): to a float32 the same, and its logarithm is u


def log_softplus(u: Tensor) -> Tensor:
    """log log(1 + e^u), elementwise, of the shape of u: about u where u is small, about log u where it is large.

    Finite for all finite u, where softplus itself underflows to zero. Differentiable, once: the derivative is
    sigmoid(u) / softplus(u), between 0 and 1.
    """
    value: Tensor = _LogSoftplus.apply(u)  # type: ignore[no-untyped-call]
    return value


class _LogSoftplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        value = torch.where(u < _EXPONENTIAL_BELOW, u, softplus(u).log())
        ctx.save_for_backward(u, value)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        u, value = ctx.saved_tensors
        # sigmoid(u) / softplus(u) = exp(log sigmoid(u) − value), which is exp(0) where u is far below zero.
        return torch.sub(torch.nn.functional.logsigmoid(u), value).exp_().mul_(grad)
