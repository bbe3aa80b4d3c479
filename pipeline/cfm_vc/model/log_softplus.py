"""log log(1 + e^u), accurate in both tails."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

_FLOOR = -80.0  # below, e^u is subnormal in float32; a share of e^-80 is negligible


def log_softplus(u: Tensor) -> Tensor:
    """log log(1 + e^u), elementwise: about u for small u, about log u for large u.

    Finite for all finite u, also where softplus itself underflows to zero: the smallest value is −80. Once
    differentiable: the derivative is sigmoid(u) / softplus(u), between 0 and 1; below −80 it is set to its limit, 1, so
    that such genes still have a gradient.
    """
    value: Tensor = _LogSoftplus.apply(u)  # type: ignore[no-untyped-call]
    return value


class _LogSoftplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        raised = u.clamp(min=_FLOOR)
        rate = softplus(raised)
        ctx.save_for_backward(raised, rate)
        return rate.log()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        raised, rate = ctx.saved_tensors
        return torch.sigmoid(raised).div_(rate).mul_(grad)
