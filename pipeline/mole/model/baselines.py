"""Forecasts that need no training: what any network has to be compared with.

B: windows, C: channels, L: rows of the lookback, H: rows of the horizon.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from pipeline.mole.data.resident_windows import WindowBatch


def last_value(x_BCL: Tensor, horizon: int) -> Tensor:
    """The last row, for every row of the horizon: (B, C, H)."""
    return x_BCL[:, :, -1:].expand(-1, -1, horizon)


def seasonal_naive(x_BCL: Tensor, horizon: int, season: int) -> Tensor:
    """The last whole season, again and again: (B, C, H). ValueError where the lookback is shorter than a season.

    Source: Hyndman and Athanasopoulos, "Forecasting: principles and practice" (3rd edition), section 5.2.
    """
    lookback = x_BCL.shape[2]
    if season > lookback:
        raise ValueError(f"a season of {season} rows is longer than the lookback of {lookback}")
    place_H = lookback - season + torch.arange(horizon, device=x_BCL.device) % season
    return x_BCL[:, :, place_H]


def least_squares(batches: Iterable[WindowBatch]) -> Tensor:
    """(H, L): the linear map of least squared error from the lookback to the horizon, one for all channels.

    Rows sum to 1: what is fitted is the map from x − last value to y − last value, without an intercept, so that a
    series that is higher by a constant is forecast higher by it. Normal equations in double precision, added up over
    the minibatches; the solution of least norm where they leave it open. Source: Toner and Darlow, "An analysis of
    linear time series forecasting models" (2024), whose closed forms this is one of.
    """
    products = None
    for batch in batches:
        x_RL, y_RH = batch.x_BCL.double().flatten(0, 1), batch.y_BCH.double().flatten(0, 1)
        last_R1 = x_RL[:, -1:]
        change_RL = x_RL[:, :-1] - last_R1
        found = change_RL.T @ change_RL, change_RL.T @ (y_RH - last_R1)
        products = found if products is None else (products[0] + found[0], products[1] + found[1])
    if products is None:
        raise ValueError("least squares needs at least one window")
    change_HL = torch.linalg.lstsq(*products, driver="gelsd").solution.T
    return torch.cat([change_HL, 1 - change_HL.sum(1, keepdim=True)], dim=1)
