"""log log(1 + e^u), far into both tails."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

_FLOOR = -80.0  # below, e^u leaves the normal numbers of a float32; a share of e^-80 is none


def log_softplus(u: Tensor) -> Tensor:
    """log log(1 + e^u), elementwise, of the shape of u: about u where u is small, about log u where it is large.

    Finite for all finite u, where softplus itself underflows to zero: it ends at −80. Differentiable, once: the
    derivative is sigmoid(u) / softplus(u), between 0 and 1, and below −80 the 1 that it tends to, so that a gene that
    went there can come back.
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
