"""Batch normalisation over the whole minibatch, also where several processes compute it.

B: images, C: channels, H, W: pixels, P: processes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.nn.mixed_precision import widened
from pipeline.nn.share import is_shared, sum_over_processes


class BatchNorm2d(nn.BatchNorm2d):
    """torch's own, but for a share of a minibatch, whose statistics are those of the whole (torch's SyncBatchNorm does
    this on GPUs only)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise, (B, C, H, W) of any memory format."""
        if not self.training or not is_shared():
            normalised: Tensor = super().forward(input)
            return normalised
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        arguments = widened(input), self.weight, self.bias, self.eps
        y_BCHW, mean_C, variance_C, count = _Normalised.apply(*arguments)  # type: ignore[no-untyped-call]
        momentum = 0.1 if self.momentum is None else self.momentum
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_C, momentum)
            self.running_var.lerp_(variance_C * (count / (count - 1).clamp(min=1)), momentum)  # unbiased
        return y_BCHW.to(input.dtype)  # type: ignore[no-any-return]


class _Normalised(torch.autograd.Function):
    """(x − mean) / √(variance + eps) · weight + bias, with mean and variance over B, H, W of all processes.

    One message forward and one backward: mean and squared deviations are put together from those of the processes
    (Chan, Golub and LeVeque, 1979), which loses no precision to large means, as sums of squares would.
    """

    @staticmethod
    def forward(
        ctx: Any, x_BCHW: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own_variance_C, own_mean_C = torch.var_mean(x_BCHW, dim=(0, 2, 3), correction=0)
        own = x_BCHW.numel() // x_BCHW.shape[1]
        rank = torch.distributed.get_rank()
        told = x_BCHW.new_zeros(torch.distributed.get_world_size(), 3, len(own_mean_C))
        told[rank] = torch.stack([own_mean_C, own_variance_C, torch.full_like(own_mean_C, own)])
        mean_PC, variance_PC, count_PC = sum_over_processes(told).unbind(1)
        count = count_PC[:, 0].sum()
        mean_C = (mean_PC * count_PC).sum(0) / count
        variance_C = ((variance_PC + (mean_PC - mean_C).square()) * count_PC).sum(0) / count
        inverse_C = (variance_C + eps).rsqrt()
        slope_C = weight_C * inverse_C
        y_BCHW = torch.addcmul(_beside(bias_C - mean_C * slope_C), x_BCHW, _beside(slope_C))
        ctx.save_for_backward(x_BCHW, weight_C, mean_C, inverse_C, count)
        ctx.mark_non_differentiable(mean_C, variance_C, count)
        return y_BCHW, mean_C, variance_C, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BCHW: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        x_BCHW, weight_C, mean_C, inverse_C, count = ctx.saved_tensors
        bias_grad_C = grad_BCHW.sum((0, 2, 3))
        weight_grad_C = ((grad_BCHW * x_BCHW).sum((0, 2, 3)) - mean_C * bias_grad_C) * inverse_C
        all_bias_C, all_weight_C = sum_over_processes(torch.stack([bias_grad_C, weight_grad_C])).div_(count).unbind()
        # d loss / d x = slope · (g − mean(g) − x̂ mean(g x̂)): linear in g and in x.
        slope_C = weight_C * inverse_C
        by_x_C = -slope_C * inverse_C * all_weight_C
        constant_C = -slope_C * all_bias_C - by_x_C * mean_C
        x_grad_BCHW = torch.addcmul(_beside(constant_C), x_BCHW, _beside(by_x_C)).addcmul_(grad_BCHW, _beside(slope_C))
        return x_grad_BCHW, weight_grad_C, bias_grad_C, None


def _beside(value_C: Tensor) -> Tensor:
    return value_C[:, None, None]
