"""Forecasts without training."""

import pytest
import torch

from pipeline.mole.model.baselines import last_value, seasonal_naive


def test_the_last_value_and_the_last_season_go_on():
    x = torch.arange(8.0).view(1, 1, 8)
    assert last_value(x, 3).tolist() == [[[7, 7, 7]]]
    assert seasonal_naive(x, 5, 3).tolist() == [[[5, 6, 7, 5, 6]]]
    assert seasonal_naive(x, 2, 8).tolist() == [[[0, 1]]]
    with pytest.raises(ValueError, match="longer than the lookback"):
        seasonal_naive(x, 2, 9)
