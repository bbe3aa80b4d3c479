"""Every method on the test windows of one horizon, and the tables behind the figures.

Every test window counts. S: seeds, N: windows, C: channels, E: experts.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pipeline.metrics.results import Row
from pipeline.mole.data.ridge_choice import RIDGES
from pipeline.mole.data.season import calendar_parts
from pipeline.mole.evaluation.horizon import Horizon, loaded
from pipeline.mole.evaluation.specialisation import usage_rows, weight_rows
from pipeline.mole.glossary import LEAST_SQUARES, PLAIN, unit_of
from pipeline.mole.metrics.forecasting import ForecastErrors
from pipeline.mole.model.baselines import last_value, seasonal_naive
from pipeline.mole.model.calibration import Forecast
from pipeline.mole.model.cost import forecast_cost
from pipeline.mole.model.expert_pruning import by_service
from pipeline.mole.model.mixture_scores import all_router_weights, score, scores, variants_of
from pipeline.mole.points import ForecastPoint, twin_of

BASELINES = (*RIDGES, *LEAST_SQUARES, "seasonal_naive", "last_value")
Fields = dict[str, Any]


class Found(NamedTuple):
    """What a method did on the test windows."""

    method: str
    role: str
    seed: int | None
    test: ForecastErrors
    validation_mse: float


class Tables(NamedTuple):
    """Rows of what the figures show, beside the scores."""

    points: list[Fields]
    channels: list[Fields]
    steps: list[Fields]
    expert_weights: list[Fields]
    usage: list[Fields]
    reduced: list[Fields]
    coverage: list[Fields]
    example: list[Fields]


def judge_ridge(ridge: ForecastPoint, horizon: Horizon) -> Found:
    """A tuned linear baseline."""
    model = loaded(ridge, horizon, 0)
    validation, test = (
        score(model.forecast, horizon.windows(split, model.lookback).epoch(0), horizon.units)
        for split in ("validation", "test")
    )
    return Found(ridge.name, "baseline", None, test, validation.mse)


def judge_baselines(horizon: Horizon) -> list[Found]:
    """What has nothing to choose; with known columns, least squares without them as well."""
    rows, plain = horizon.rows, horizon.plain
    forecasts: dict[str, Forecast] = {
        "least_squares": lambda batch: batch.x_BCL @ horizon.least_squares_HL.T,
        "seasonal_naive": lambda batch: seasonal_naive(batch.x_BCL, rows, horizon.season),
        "last_value": lambda batch: last_value(batch.x_BCL, rows),
    }
    found = _judged(forecasts, horizon)
    if horizon.series.known:
        found += _judged({PLAIN: lambda batch: batch.x_BCL @ plain.least_squares_HL.T}, plain)
    return found


def _judged(forecasts: Mapping[str, Forecast], horizon: Horizon) -> list[Found]:
    """On the windows of least squares."""
    test, validation = (horizon.windows(split) for split in ("test", "validation"))
    return [
        Found(
            name,
            "baseline",
            None,
            score(forecast, test.epoch(0), horizon.units),
            score(forecast, validation.epoch(0), horizon.units).mse,
        )
        for name, forecast in forecasts.items()
    ]


def judge_point(point: ForecastPoint, points: list[ForecastPoint], horizon: Horizon, tables: Tables) -> list[Found]:
    """Every seed of a point, and rows about its experts where it has several."""
    found, channels, calendar = [], horizon.series.channels, calendar_parts(horizon.series.step)
    of_validation, of_test = (horizon.windows(split, point.lookback[horizon.rows]) for split in ("validation", "test"))
    for seed in point.validation[horizon.rows]:
        model = loaded(point, horizon, seed)
        place = {"point": point.name, "horizon": horizon.rows, "seed": seed}
        variants = {}
        if point.experts > 1:
            weight_E = all_router_weights(model, of_validation.epoch(0)).mean((0, 1))
            variants = variants_of(point.experts, by_service(weight_E))
        test, reduced = scores(model, of_test.epoch(0), variants, horizon.units)
        validation, reduced_validation = scores(model, of_validation.epoch(0), variants, horizon.units)
        found.append(Found(point.name, "model", seed, test, validation.mse))
        if point.experts > 1:
            for way in ("prune", "top_k"):
                tables.reduced.append(place | _reduced(way, point.experts, test, validation))
            tables.reduced.extend(
                place | _reduced(variant.way, variant.experts, errors, reduced_validation[variant])
                for variant, errors in reduced.items()
            )
            weight_NCE = all_router_weights(model, of_test.epoch(0)).double().numpy()
            first = horizon.series.splits["test"][0] - model.lookback + model.routed_row
            stamp_N = horizon.series.date_T[first : first + len(weight_NCE)]
            tables.expert_weights.extend(weight_rows(weight_NCE, stamp_N, channels, place, calendar))
            tables.usage.extend(usage_rows(weight_NCE, place))
    about = {"backbone": point.backbone, "experts": point.experts, "top_k": point.top_k}
    twin = twin_of(point, points).name
    tables.points.append({"horizon": horizon.rows, "point": point.name, **about, "twin": twin, **forecast_cost(model)})
    return found


def _reduced(way: str, experts: int, test: ForecastErrors, validation: ForecastErrors) -> Fields:
    return {
        "way": way,
        "experts": experts,
        "mse": test.mse,
        "mae": test.mae,
        "validation_mse": validation.mse,
    }


def add_means(tables: Tables, found: list[Found], rows: int, channels: tuple[str, ...], shown: set[str]) -> None:
    """Means over seeds: by channel of every method, by step of those that are compared first."""
    for method in dict.fromkeys(one.method for one in found):
        errors = [one.test for one in found if one.method == method]
        place = {"horizon": rows, "method": method}
        mse_C, mae_C = (np.mean([getattr(one, name) for one in errors], axis=0) for name in ("mse_C", "mae_C"))
        tables.channels.extend(
            {**place, "channel": channel, "mse": float(mse), "mae": float(mae)}
            for channel, mse, mae in zip(channels, mse_C, mae_C, strict=True)
        )
        if method in shown:
            mse_H = np.mean([one.mse_H for one in errors], axis=0)
            tables.steps.extend({**place, "step": step, "mse": float(mse)} for step, mse in enumerate(mse_H, start=1))


def rows_of(found: Found, horizon: Horizon) -> list[Row]:
    """A method's scores at a horizon."""
    values = {
        "mse": found.test.mse,
        "mae": found.test.mae,
        "mase": found.test.mase(horizon.units),
        "smape": found.test.smape,
        "validation_mse": found.validation_mse,
    }
    unit = unit_of(horizon.rows)
    return [Row(unit, found.method, found.role, metric, value, seed=found.seed) for metric, value in values.items()]
