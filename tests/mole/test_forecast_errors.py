"""Errors of forecasts: known values, every window counts whatever the batch size, and a broadcast is no forecast."""

import numpy as np
import pytest
import torch

from pipeline.mole.metrics.forecasting import Units, forecast_errors, seasonal_error

B, C, H = 7, 3, 4
UNITS = Units(
    torch.tensor([5.0, -1.0, 0.0]).double(),
    torch.tensor([2.0, 0.5, 1.0]).double(),
    torch.tensor([1.0, 2.0, 4.0]).double(),
)


def values(seed):
    return torch.randn(B, C, H, generator=torch.Generator().manual_seed(seed))


def test_the_truth_has_no_error_and_a_constant_miss_has_its_own():
    truth = values(0)
    perfect, missed = forecast_errors(truth, truth, UNITS), forecast_errors(truth + 2, truth, UNITS)
    assert perfect.mse == perfect.mae == 0
    assert missed.mse == pytest.approx(4)
    assert missed.mae == pytest.approx(2)


def test_means_over_windows_channels_and_steps_are_numpys():
    forecast, truth = values(0), values(1)
    error = (forecast - truth).double().numpy()
    found = forecast_errors(forecast, truth, UNITS)
    assert found.mse == pytest.approx((error**2).mean())
    assert found.mae == pytest.approx(abs(error).mean())
    np.testing.assert_allclose(found.mse_C, (error**2).mean((0, 2)))
    np.testing.assert_allclose(found.mae_C, abs(error).mean((0, 2)))
    np.testing.assert_allclose(found.mse_H, (error**2).mean((0, 1)))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_no_score_depends_on_the_batch_size(size):
    forecast, truth = values(0), values(1)
    parts = [forecast_errors(*pair, UNITS) for pair in zip(forecast.split(size), truth.split(size), strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = total.joined(part)
    whole = forecast_errors(forecast, truth, UNITS)
    assert total.windows == B
    assert total.mse == pytest.approx(whole.mse, rel=1e-12)
    # The published code's score, without a last minibatch that is not full, is another one.
    if B % size and size < B:
        assert sum(len(part) for part in forecast.split(size)[:-1]) < B
        full = forecast_errors(forecast[: B - B % size], truth[: B - B % size], UNITS)
        assert full.mse != pytest.approx(whole.mse, rel=1e-3)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="shape"):
        forecast_errors(values(0)[:, :, :1], values(1), UNITS)


def test_mase_and_smape_are_those_of_a_loop_in_the_units_of_the_file():
    forecast, truth = values(0), values(1)
    found = forecast_errors(forecast, truth, UNITS)
    mean, deviation, naive = (value.numpy() for value in UNITS)
    scaled, symmetric = [], []
    for b, c, h in np.ndindex(B, C, H):
        f, y = (float(one[b, c, h]) * deviation[c] + mean[c] for one in (forecast, truth))
        scaled.append(abs(y - f) / naive[c])
        symmetric.append(200 * abs(y - f) / (abs(y) + abs(f)))
    assert found.mase(UNITS) == pytest.approx(np.mean(scaled), rel=1e-6)
    assert found.smape == pytest.approx(np.mean(symmetric), rel=1e-6)


def test_mase_and_smape_can_win_and_lose():
    truth = values(1)
    perfect, opposite = (
        forecast_errors(truth, truth, UNITS),
        forecast_errors(-truth, truth, UNITS._replace(mean_C=0 * UNITS[0])),
    )
    assert perfect.smape == perfect.mase(UNITS) == 0
    assert opposite.smape == pytest.approx(200)
    none = torch.zeros(2, 1, 3)
    level = Units(torch.zeros(1).double(), torch.ones(1).double(), torch.zeros(1).double())
    assert forecast_errors(none, none, level).smape == 0  # 0 for 0
    assert forecast_errors(none, none, level).mase(level) is None


def test_the_naive_forecast_of_the_next_season_has_a_mase_of_1():
    series = torch.randn(1, 50, generator=torch.Generator().manual_seed(2)).double()
    units = Units(torch.zeros(1).double(), torch.ones(1).double(), seasonal_error(series, 6))
    found = forecast_errors(series[None, :, :-6], series[None, :, 6:], units)
    assert found.mase(units) == pytest.approx(1)
    with pytest.raises(ValueError, match="6 rows hold no change over a season of 6"):
        seasonal_error(series[:, :6], 6)
