"""Trend and rest of a series: the moving average, by running sums, and as the constant matrix that it is.

R: series, L: rows of a lookback, P: outputs, K: rows that are averaged, A: the matrix (L, L) of the moving average.
Source: Zeng et al., "Are transformers effective for time series forecasting?" (2023), after Wu et al., "Autoformer"
(2021).
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

# Series from which on the decomposition goes into the weights. That costs some passes over the weights and over their
# gradient, and saves one product of two, in a training step two of four: on two cores of an AMD EPYC with AVX2 as much
# at about 100 series, of 336 rows and 384 outputs.
FOLDED_FROM = 100


def moving_average_matrix(length: int, kernel: int) -> Tensor:
    """A in double precision: the trend of x_RL is x_RL @ A.T, the mean of `kernel` rows around each.

    Rows beyond an end are taken to be the one at the end. ValueError where the kernel is even: it has no middle.
    """
    reach = _reach(kernel)
    row_L = torch.arange(length)
    met_LK = (row_L[:, None] + torch.arange(-reach, reach + 1)).clamp(0, length - 1)
    share_LK = torch.full((length, kernel), 1 / kernel, dtype=torch.float64)
    return torch.zeros(length, length, dtype=torch.float64).scatter_add_(1, met_LK, share_LK)


def moving_average(x_RL: Tensor, kernel: int) -> Tensor:
    """The trend of each series, x_RL @ A.T, by running sums. ValueError where the kernel is even."""
    reach = _reach(kernel)
    return _sums(pad(x_RL, (reach + 1, reach), mode="replicate"), kernel) * (1 / kernel)


class _Folded(torch.autograd.Function):
    """S + (T - S) A, by running sums. K times column j of (T - S) A is the sum of the K columns around it; the means
    that repeat an end add to the first and the last column. The gradient of (T - S) A is averaged as a series is."""

    @staticmethod
    def forward(ctx: Any, seasonal_PL: Tensor, trend_PL: Tensor, kernel: int) -> Tensor:
        ctx.kernel, reach = kernel, _reach(kernel)
        more_PL = trend_PL - seasonal_PL
        weight_PL = _sums(pad(more_PL, (reach + 1, reach)), kernel)
        times_N = torch.arange(reach, 0, -1, dtype=more_PL.dtype, device=more_PL.device)[: more_PL.shape[1]]
        weight_PL[:, 0] += more_PL[:, : len(times_N)] @ times_N
        weight_PL[:, -1] += more_PL[:, more_PL.shape[1] - len(times_N) :] @ times_N.flip(0)
        return weight_PL.mul_(1 / kernel).add_(seasonal_PL)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, None]:
        of_trend_PL = moving_average(gradients[0], ctx.kernel)
        return gradients[0] - of_trend_PL, of_trend_PL, None


def _sums(x_RM: Tensor, kernel: int) -> Tensor:
    """(R, M - K): of K columns each, the first of which is the second of x."""
    sum_RM = x_RM.cumsum(1)
    return sum_RM[:, kernel:] - sum_RM[:, :-kernel]


def folded(seasonal_PL: Tensor, trend_PL: Tensor, kernel: int) -> Tensor:
    """The weights (P, L) that do to a series what the first do to its rest and the second to its trend. ValueError
    where the kernel is even."""
    weight_PL: Tensor = _Folded.apply(seasonal_PL, trend_PL, kernel)  # type: ignore[no-untyped-call]
    return weight_PL


def decomposed_linear(
    x_RL: Tensor, seasonal_PL: Tensor, trend_PL: Tensor, kernel: int, bias_P: Tensor | None = None
) -> Tensor:
    """seasonal · (x − trend of x) + trend · (trend of x) + bias, (R, P), by whichever of two ways needs less work.

    All of it is linear in x, so the decomposition may go into the weights instead: one product with x in place of two.
    That pays where there are many series.
    """
    if len(x_RL) >= FOLDED_FROM:
        return linear(x_RL, folded(seasonal_PL, trend_PL, kernel), bias_P)
    trend_RL = moving_average(x_RL, kernel)
    return linear(x_RL - trend_RL, seasonal_PL, bias_P) + linear(trend_RL, trend_PL)


def _reach(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError(f"kernel = {kernel} is even, so that a row has no middle")
    return kernel // 2
