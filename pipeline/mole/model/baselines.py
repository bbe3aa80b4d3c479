"""Forecasts that need no training: what any network has to be compared with.

B: windows, C: channels, L: rows of the lookback, H: rows of the horizon.
"""

import torch
from torch import Tensor


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
