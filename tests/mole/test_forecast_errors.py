"""Errors of forecasts: known values, every window counts whatever the batch size, and a broadcast is no forecast."""

import numpy as np
import pytest
import torch

from pipeline.mole.metrics.forecasting import forecast_errors

B, C, H = 7, 3, 4


def values(seed):
    return torch.randn(B, C, H, generator=torch.Generator().manual_seed(seed))


def test_the_truth_has_no_error_and_a_constant_miss_has_its_own():
    truth = values(0)
    perfect, missed = forecast_errors(truth, truth), forecast_errors(truth + 2, truth)
    assert perfect.mse == perfect.mae == 0
    assert missed.mse == pytest.approx(4)
    assert missed.mae == pytest.approx(2)


def test_means_over_windows_channels_and_steps_are_numpys():
    forecast, truth = values(0), values(1)
    error = (forecast - truth).double().numpy()
    found = forecast_errors(forecast, truth)
    assert found.mse == pytest.approx((error**2).mean())
    assert found.mae == pytest.approx(abs(error).mean())
    np.testing.assert_allclose(found.mse_C, (error**2).mean((0, 2)))
    np.testing.assert_allclose(found.mae_C, abs(error).mean((0, 2)))
    np.testing.assert_allclose(found.mse_H, (error**2).mean((0, 1)))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_no_score_depends_on_the_batch_size(size):
    forecast, truth = values(0), values(1)
    parts = [forecast_errors(*pair) for pair in zip(forecast.split(size), truth.split(size), strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = total.joined(part)
    whole = forecast_errors(forecast, truth)
    assert total.windows == B
    assert total.mse == pytest.approx(whole.mse, rel=1e-12)
    # The published code's score, without a last minibatch that is not full, is another one.
    if B % size and size < B:
        assert sum(len(part) for part in forecast.split(size)[:-1]) < B
        full = forecast_errors(forecast[: B - B % size], truth[: B - B % size])
        assert full.mse != pytest.approx(whole.mse, rel=1e-3)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="shape"):
        forecast_errors(values(0)[:, :, :1], values(1))
