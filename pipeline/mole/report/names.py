"""Forecasting methods as the reader meets them, and horizons in words."""

from collections.abc import Sequence

_NAMES = {
    "dlinear": "DLinear",
    "rlinear": "RLinear",
    "rmlp": "RMLP",
    "mole_dlinear": "MoLE-DLinear",
    "mole_rlinear": "MoLE-RLinear",
    "mole_rmlp": "MoLE-RMLP",
    "least_squares": "least squares",
    "seasonal_naive": "seasonal naive",
    "last_value": "last value",
}

DEFINITIONS = (
    (
        "MoLE",
        "A mixture of linear experts: several linear forecasts of the same lookback, weighted for each channel by a "
        "router that sees only the time of the first row: hour, weekday, day of month, day of year (Ni et al. 2024).",
    ),
    (
        "Dense twin",
        "The same backbone with one expert and no router, trained alike: what the mixture adds is the difference.",
    ),
    (
        "DLinear, RLinear, RMLP",
        "Backbones. DLinear: one linear map each of the moving average and of the rest (Zeng et al. 2023). RLinear: "
        "one linear map between a normalisation of each window and its inverse; RMLP: the same with a small network "
        "before it (Li et al. 2023).",
    ),
    (
        "Least squares",
        "The best linear map of the lookback minus its last value, in closed form on the training rows: no epochs, no "
        "seeds. What is linear and learned by steps can at most come near it on the training rows.",
    ),
    ("Seasonal naive", "The values one season before. Last value: the last value of the lookback, repeated."),
    (
        "MSE, MAE",
        "Mean squared and absolute error over all test windows, channels and steps, of values scaled by mean and "
        "standard deviation of the training rows; the mean of the training rows as the forecast scores about 1.",
    ),
    (
        "Ahead, level, behind",
        "By MSE: ahead or behind where the means differ by more than half a per cent and by more than the standard "
        "deviations over seeds together; else level. One seed is never ahead.",
    ),
)


def label_of(method: str) -> str:
    """A method not known here goes by its own name."""
    return _NAMES.get(method, method.replace("_", " "))


def ahead(horizon: int) -> str:
    """A horizon in words."""
    return f"{horizon} step{'s' * (horizon != 1)}"


def listed_horizons(horizons: Sequence[int]) -> str:
    """Several of them: "24 and 96 steps"."""
    numbers = [str(horizon) for horizon in horizons]
    joined = " and ".join(numbers) if len(numbers) < 3 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"{joined} step{'s' * (numbers != ['1'])}"
