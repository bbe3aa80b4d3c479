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

PLAIN = "plain_least_squares"
LEAST_SQUARES = ("least_squares", PLAIN)
LEVEL = 90  # per cent of the intervals that are judged and shown

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
        Metric(
            "mase",
            "MASE",
            False,
            "Mean absolute error of each channel over that of the seasonal-naive forecast one season ahead on the "
            "training rows, and the mean over channels (Hyndman and Koehler 2006).",
            bounds=(0.0, inf),
        ),
        Metric(
            "smape",
            "sMAPE",
            False,
            "Mean of 200 |y - f| / (|y| + |f|) of truths y and forecasts f in the units of the data (M4 competition, "
            "2020); of values near 0 it says little.",
            "per cent",
            (0.0, 200.0),
        ),
        Metric("validation_mse", "validation MSE", False, "Mean squared error over the validation windows."),
        Metric(
            f"coverage_{LEVEL}",
            f"coverage of {LEVEL} % intervals",
            False,
            "Share of the truths that lie inside. Intervals are conformal: quantiles of errors on the validation rows "
            "and at earlier origins, in multiples of the mean size of the forecaster's latest known errors at the same "
            "channel, step and place in the season, and wider after misses, narrower without, from season to season.",
            bounds=(0.0, 1.0),
            best_value=LEVEL / 100,
        ),
        Metric(
            f"width_{LEVEL}",
            f"width of {LEVEL} % intervals",
            False,
            "Mean width of the same.",
            "scaled values",
            (0.0, inf),
        ),
        Metric(
            f"interval_score_{LEVEL}",
            "interval score",
            False,
            "Width of the same plus 20 times what a truth lies outside: the Winkler score (Gneiting and Raftery 2007).",
            "scaled values",
            (0.0, inf),
        ),
        Metric(
            "crps",
            "CRPS",
            False,
            "Continuous ranked probability score of the quantiles of levels 0.05 to 0.95, of the same kind as the "
            "intervals: twice their mean pinball loss. Of a single value it is the mean absolute error.",
            "scaled values",
            (0.0, inf),
        ),
        Metric(
            f"split_coverage_{LEVEL}",
            "coverage of plain split-conformal intervals",
            False,
            "The same, where intervals are quantiles of the errors on the validation rows alone, as they are.",
            bounds=(0.0, 1.0),
            best_value=LEVEL / 100,
        ),
        Metric(
            "split_crps", "CRPS of plain split-conformal quantiles", False, "The same.", "scaled values", (0.0, inf)
        ),
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
            "cycle",
            "cycle",
            "The mean course of the season is taken out of window and horizon, and a ridge maps the rest (Lin et al. "
            "2024), from the lookback and offset of the ridge that validation prefers, in closed form: seeds do not "
            "differ.",
        ),
        (
            "mole_cycle",
            "MoLE-cycle",
            "The same with several courses of the season, each an expert. Which of them holds on which day of the week "
            "is fitted for each channel by expectation maximisation; how many a channel has is chosen on validation "
            "rows and earlier origins, and with none it is the ridge.",
        ),
        (
            "ridge",
            "ridge",
            "Linear regression with a penalty on the squares of its weights, in closed form on the training rows; its "
            "lookback, what it subtracts from a window and its penalty are searched on validation rows and earlier "
            "origins, at each horizon. One map serves all channels.",
        ),
        (
            "group_ridge",
            "ridge per static value",
            "The same with a map for the series of each value of the static columns, searched and fitted on these.",
        ),
        ("channel_ridge", "ridge per channel", "The same with a map of each channel's own, searched and fitted alone."),
        (
            "least_squares",
            "least squares",
            "The best linear map of the lookback minus its last value, in closed form on the training rows: no epochs, "
            "no seeds.",
        ),
        (
            PLAIN,
            "least squares without known columns",
            "The same of the series as it is. All other methods have the known columns: their effects are taken out of "
            "the series and added to every forecast again.",
        ),
        ("seasonal_naive", "seasonal naive", "The values one season before."),
        ("last_value", "last value", "The last value of the lookback, repeated."),
    ),
)
MSE, MAE, MASE, SMAPE, VALIDATION, CRPS, SPLIT_CRPS = (
    GLOSSARY.metric(name) for name in ("mse", "mae", "mase", "smape", "validation_mse", "crps", "split_crps")
)
COVERAGE, WIDTH, INTERVAL_SCORE, SPLIT_COVERAGE = (
    GLOSSARY.metric(f"{name}_{LEVEL}") for name in ("coverage", "width", "interval_score", "split_coverage")
)


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
