"""Forecasts without training, and the closed form against numpy's, and against what it must and must not find."""

import numpy as np
import pytest
import torch

from pipeline.mole.data.resident_windows import WindowBatch
from pipeline.mole.model.baselines import last_value, least_squares, seasonal_naive

L, H, C = 8, 3, 2


def batches(x, y, size):
    stamps = torch.zeros(len(x), dtype=torch.int64)
    return [
        WindowBatch(torch.arange(len(a)), a, b, torch.zeros(len(a), 4), stamps[: len(a)])
        for a, b in zip(x.split(size), y.split(size), strict=True)
    ]


def windows(count=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, C, L, generator=generator).cumsum(2)
    return x, torch.randn(count, C, H, generator=generator)


def test_the_last_value_and_the_last_season_go_on():
    x = torch.arange(8.0).view(1, 1, 8)
    assert last_value(x, 3).tolist() == [[[7, 7, 7]]]
    assert seasonal_naive(x, 5, 3).tolist() == [[[5, 6, 7, 5, 6]]]
    assert seasonal_naive(x, 2, 8).tolist() == [[[0, 1]]]
    with pytest.raises(ValueError, match="longer than the lookback"):
        seasonal_naive(x, 2, 9)


@pytest.mark.parametrize("size", [1, 64, 1000])
def test_least_squares_is_numpys_whatever_the_batch_size(size):
    x, y = windows()
    weight_HL = least_squares(batches(x, y, size))
    x, y = x.double(), y.double()
    change, aim = x - x[:, :, -1:], y - x[:, :, -1:]
    expected = np.linalg.lstsq(change[:, :, :-1].reshape(-1, L - 1).numpy(), aim.reshape(-1, H).numpy(), rcond=None)[0]
    np.testing.assert_allclose(weight_HL[:, :-1].numpy().T, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(weight_HL.sum(1), torch.ones(H, dtype=torch.float64))


def test_it_finds_a_linear_law_and_nothing_where_there_is_none():
    generator = torch.Generator().manual_seed(1)
    law = torch.randn(H, L, generator=generator)
    law += (1 - law.sum(1, keepdim=True)) / L
    x, noise = windows(2000)
    torch.testing.assert_close(least_squares(batches(x, x @ law.T, 64)).float(), law, rtol=1e-3, atol=1e-3)
    # Of a random walk with no more to know, the best forecast is its last value.
    blind = least_squares(batches(x, x[:, :, -1:] + noise, 64))
    np.testing.assert_allclose(blind[:, -1], 1, atol=0.1)
    np.testing.assert_allclose(blind[:, :-1], 0, atol=0.1)


def test_it_takes_the_least_norm_where_windows_leave_the_map_open():
    x, y = windows(2)
    weight_HL = least_squares(batches(x, y, 2))
    assert torch.isfinite(weight_HL).all()
    torch.testing.assert_close((x.double() @ weight_HL.T).float(), y, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="at least one window"):
        least_squares([])
