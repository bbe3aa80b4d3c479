"""Figures of forecasts and of inference from made-up numbers."""

import numpy as np

from pipeline.mole.plots.forecast import Forecast, StepErrors, draw_errors_by_step, draw_forecast
from pipeline.mole.plots.latency import Timing, draw_timings
from pipeline.mole.plots.specialisation import draw_weights

STEPS = np.arange(1.0, 25.0)
BEFORE = np.arange(-23.0, 1.0)
LINE = (STEPS, np.sin(STEPS / 4))
BAND = (STEPS, LINE[1] - 0.5, LINE[1] + 0.5)
ERRORS = [
    StepErrors("MoLE-DLinear", "model", STEPS, 0.1 + STEPS / 100),
    StepErrors("DLinear", "twin", STEPS, 0.11 + STEPS / 100),
    StepErrors("least squares", "fit", STEPS, 0.12 + STEPS / 100),
    StepErrors("last value", "other naive", STEPS, STEPS),
]
WEIGHT_EV = np.random.default_rng(3).dirichlet(np.ones(4), 24).T

FIGURES = {
    "errors_by_step": lambda: draw_errors_by_step("24 steps ahead", ERRORS),
    "forecast": lambda: draw_forecast(
        "load", Forecast((BEFORE, np.sin(BEFORE / 4)), LINE, LINE, LINE, [LINE] * 4, BAND), "1 hour", "least squares"
    ),
    "weights": lambda: draw_weights("By hour", "hour", WEIGHT_EV, [str(hour) for hour in range(24)]),
    "timings": lambda: draw_timings("Time", "ms", [Timing("PyTorch", 0, True, [1, 8, 64], [0.3, 0.5, 2.0])]),
}
