"""Trend and rest of a series: the moving average as the constant matrix that it is.

R: series, L: rows of a lookback, P: outputs.
Source: Zeng et al., "Are transformers effective for time series forecasting?" (2023), after Wu et al., "Autoformer"
(2021).
"""

import torch
from torch import Tensor


def moving_average_matrix(length: int, kernel: int) -> Tensor:
    """(L, L) in double precision: the trend of x_RL is x_RL @ matrix.T, the mean of `kernel` rows around each.

    Rows beyond an end are taken to be the one at the end. ValueError where the kernel is even: it has no middle.
    """
    if kernel % 2 == 0:
        raise ValueError(f"kernel = {kernel} is even, so that a row has no middle")
    reach = kernel // 2
    row_L = torch.arange(length)
    met_LK = (row_L[:, None] + torch.arange(-reach, reach + 1)).clamp(0, length - 1)
    share_LK = torch.full((length, kernel), 1 / kernel, dtype=torch.float64)
    return torch.zeros(length, length, dtype=torch.float64).scatter_add_(1, met_LK, share_LK)


def decomposed_linear(
    x_RL: Tensor, seasonal_PL: Tensor, trend_PL: Tensor, average_LL: Tensor, bias_P: Tensor | None = None
) -> Tensor:
    """seasonal · (x − trend of x) + trend · (trend of x) + bias, (R, P), by whichever of two ways needs less work.

    All of it is linear in x, so the decomposition may go into the weights instead, (S + (T − S) A) x: one product with
    x in place of two, at the cost of one with the weights. That pays where there are more series than rows of one.
    """
    if len(x_RL) > x_RL.shape[1]:
        folded_PL = torch.addmm(seasonal_PL, trend_PL - seasonal_PL, average_LL)
        y_RP = x_RL @ folded_PL.T
    else:
        trend_RL = x_RL @ average_LL.T
        y_RP = torch.addmm((x_RL - trend_RL) @ seasonal_PL.T, trend_RL, trend_PL.T)
    return y_RP if bias_P is None else y_RP + bias_P
