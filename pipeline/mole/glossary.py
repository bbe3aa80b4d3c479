"""The scores and methods of this system as data, and horizons in words."""

from collections.abc import Sequence
from math import inf

from pipeline.metrics.glossary import Glossary, Metric

_SCALED = "values scaled by mean and standard deviation of the training rows"
_BACKBONE = "A backbone alone, the dense twin of the mixture on it: one expert and no router, trained alike. "
_MIXTURE = (
    "A mixture of linear experts: several linear forecasts of the same lookback, weighted for each channel by a router "
    "that sees only the time of the first row: hour, weekday, day of month, day of year (Ni et al. 2024)."
)

GLOSSARY = Glossary(
    metrics=(
        Metric(
            "mse",
            "MSE",
            False,
            f"Mean squared error over all test windows, channels and steps, of {_SCALED}; forecasting their mean "
            "scores about 1.",
            "scaled values",
            (0.0, inf),
        ),
        Metric("mae", "MAE", False, "Mean absolute error over the same.", "scaled values", (0.0, inf)),
        Metric("validation_mse", "validation MSE", False, "Mean squared error over the validation windows."),
    ),
    methods=(
        (
            "dlinear",
            "DLinear",
            _BACKBONE + "One linear map each of moving average and rest (Zeng et al. 2023).",
        ),
        (
            "rlinear",
            "RLinear",
            _BACKBONE + "One linear map between a normalisation of each window and its inverse (Li et al. 2023).",
        ),
        ("rmlp", "RMLP", _BACKBONE + "RLinear with a small residual network before the map (Li et al. 2023)."),
        ("mole_dlinear", "MoLE-DLinear", _MIXTURE),
        ("mole_rlinear", "MoLE-RLinear", ""),
        ("mole_rmlp", "MoLE-RMLP", ""),
        (
            "ridge",
            "ridge",
            "Linear regression with a penalty on the squares of its weights, in closed form on the training rows; its "
            "lookback, what it subtracts from a window and its penalty are searched on validation rows and earlier "
            "origins, at each horizon.",
        ),
        (
            "least_squares",
            "least squares",
            "The best linear map of the lookback minus its last value, in closed form on the training rows: no epochs, "
            "no seeds.",
        ),
        ("seasonal_naive", "seasonal naive", "The values one season before."),
        ("last_value", "last value", "The last value of the lookback, repeated."),
    ),
)
MSE, MAE, VALIDATION = (GLOSSARY.metric(name) for name in ("mse", "mae", "validation_mse"))


def unit_of(horizon: int) -> str:
    """A horizon, as the results name it."""
    return f"horizon {horizon}"


def label_of(method: str) -> str:
    """A method as the reader meets it; one not known here goes by its own name."""
    return GLOSSARY.method(method, "model").label


def ahead(horizon: int) -> str:
    """A horizon in words."""
    return f"{horizon} step{'s' * (horizon != 1)}"


def listed_horizons(horizons: Sequence[int]) -> str:
    """Several of them: "24 and 96 steps"."""
    numbers = [str(horizon) for horizon in horizons]
    joined = " and ".join(numbers) if len(numbers) < 3 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"{joined} step{'s' * (numbers != ['1'])}"
