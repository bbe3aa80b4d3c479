"""One test window as the figure shows it: the truth, the mixture with its interval, each of its experts alone, and
least squares."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.core.errors import ExpectedError
from pipeline.mole.data.scaler import Scaler
from pipeline.mole.evaluation.horizon import Horizon
from pipeline.mole.glossary import LEVEL
from pipeline.mole.interval_files import read_intervals
from pipeline.mole.model.calibration import errors_of, phases_of
from pipeline.mole.model.intervals import Intervals
from pipeline.mole.model.mixture_scores import Network
from pipeline.mole.model.tracking import factors
from pipeline.mole.points import ForecastPoint


@torch.no_grad()
def example(point: ForecastPoint, horizon: Horizon, channel: str | None) -> list[dict[str, Any]]:
    """The window in the middle of the test rows, of one channel (None: the last), in the units of the file.

    The middle one, since a window that is chosen by its errors would be no example. Step 1 is the first forecast row;
    the lookback has steps up to 0.
    """
    channels = horizon.series.channels
    if channel is not None and channel not in channels:
        raise ExpectedError(f"mole.evaluate.example_channel = {channel!r}: the series has {', '.join(channels)}")
    place = channels.index(channel) if channel is not None else len(channels) - 1
    seed = point.best_seed(horizon.rows)
    model, _ = point.load(horizon.rows, seed, horizon.device)
    intervals = read_intervals(point.network(horizon.rows, seed), point.stage)
    test, test_of_map = horizon.windows("test", model.lookback), horizon.windows("test")
    middle = torch.tensor([test.windows // 2])  # the same rows to forecast, whatever the lookback
    batch = test.take(middle)
    heads, _ = model.asked(batch)
    series = {"truth": torch.cat([batch.x_BCL, batch.y_BCH], dim=2), "mixture": model.forecast(batch)}
    series |= {f"expert_{expert + 1}": model.alone(heads, expert) for expert in range(model.experts)}
    series |= _band(series["mixture"], model, intervals, horizon)
    series["least_squares"] = test_of_map.take(middle).x_BCL @ horizon.least_squares_HL.T
    rows = []
    for name, y_1CT in series.items():
        value_T = _unscaled(batch.with_effects(y_1CT), horizon.scaler)[:, place]
        first = horizon.rows - len(value_T) + 1
        rows += [
            {
                "point": point.name,
                "horizon": horizon.rows,
                "window": test.names(batch)[0],
                "channel": channels[place],
                "series": name,
                "step": first + step,
                "value": float(value),
            }
            for step, value in enumerate(value_T)
        ]
    return rows


def _band(y_1CH: Tensor, model: Network, intervals: Intervals, horizon: Horizon) -> dict[str, Tensor]:
    """The ends of the interval around a forecast of the middle test window; nothing where it is not calibrated."""
    tail = (100 - LEVEL) / 200
    if tail not in intervals.levels:
        return {}
    later, tests = horizon.later(model.lookback), horizon.windows("test", model.lookback).windows
    error_NCH = errors_of(model.forecast, later)
    scale_NCH = intervals.running_scale(error_NCH, phases_of(later, horizon.series.step))
    scale_CH = (scale_NCH * factors(intervals, error_NCH, scale_NCH))[later.windows - tests + tests // 2]
    ends = {"low": tail, "high": 1 - tail}
    return {name: y_1CH + (scale_CH * intervals.quantile(level)).to(y_1CH.device) for name, level in ends.items()}


def _unscaled(y_1CT: Tensor, scaler: Scaler) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(T, C)"""
    return scaler.unscale(y_1CT[0].T.double().cpu().numpy())
