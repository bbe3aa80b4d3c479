"""Is a mixture of linear experts better than least squares, and what do its experts do? From all trained forecasters.

Every test window counts. What is chosen is chosen by validation rows, of all origins.

S: seeds, N: windows, C: channels, E: experts.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.core.entry import run_stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder, write_json, write_text
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.scaler import Scaler, fit_scaler
from pipeline.mole.data.series import Series, read_series
from pipeline.mole.data.windows import windows_of
from pipeline.mole.evaluation.forecast_example import example
from pipeline.mole.metrics.forecasting import ForecastErrors
from pipeline.mole.model.baselines import last_value, least_squares, seasonal_naive
from pipeline.mole.model.cost import forecast_cost
from pipeline.mole.model.expert_pruning import by_service
from pipeline.mole.model.mixture import Mole
from pipeline.mole.model.mixture_scores import all_router_weights, score, scores, variants_of
from pipeline.mole.params.evaluate import Evaluate
from pipeline.mole.params.sweep import Sweep
from pipeline.mole.paths import PATHS
from pipeline.mole.points import ForecastPoint, chosen_mixture, read_point, twin_of
from pipeline.training.determinism import prepare_device

SECTIONS = ("mole.sweep", "mole.evaluate")

RAW, MODELS = PATHS.raw, PATHS.models
AT_ONCE = 256  # windows forecast together; no score depends on it
BASELINES = ("least_squares", "seasonal_naive", "last_value")
SCORES = ("horizon", "method", "role", "seed", "metric", "value")
Row = dict[str, Any]


class Horizon(NamedTuple):
    """The windows of one horizon, and what needs no training on them."""

    rows: int
    validation: ResidentWindows
    test: ResidentWindows
    least_squares_HL: Tensor


class Found(NamedTuple):
    """What a method did on the test windows."""

    method: str
    role: str
    seed: int | None
    test: ForecastErrors
    validation_mse: float


class Tables(NamedTuple):
    """Rows of what the figures show, beside the scores."""

    points: list[Row]
    channels: list[Row]
    steps: list[Row]
    expert_weights: list[Row]
    usage: list[Row]
    reduced: list[Row]
    example: list[Row]


def run(sweep: Sweep, evaluation: Evaluate) -> None:
    """Write the scores of all methods, what the figures show, and which mixture validation chose."""
    device = prepare_device(sweep.recipe.device, sweep.recipe.threads)
    series = read_series(RAW)
    scaler = fit_scaler(series)
    points = [read_point(MODELS / name) for name in sweep.points]
    _refuse_stale(points, sweep)
    score_rows: list[Row] = []
    tables = Tables([], [], [], [], [], [], [])
    metrics: Row = {"windows": {}, "horizons": {}}
    for rows in sweep.recipe.horizons:
        horizon = _horizon(series, scaler, sweep, rows, device)
        chosen = chosen_mixture(points, rows)
        found = _baselines(horizon, evaluation)
        for point in points:
            found += _point(point, points, horizon, series.channels, tables)
        score_rows += [row for one in found for row in _score_rows(one, rows)]
        _add_means(tables, found, rows, series.channels, {chosen.name, twin_of(chosen, points).name, *BASELINES})
        tables.example.extend(example(chosen, horizon, series.channels, scaler, evaluation.example_channel))
        metrics["windows"][str(rows)] = horizon.test.windows
        methods = _methods(pd.DataFrame(score_rows, columns=SCORES), rows)
        metrics["horizons"][str(rows)] = {
            "chosen": chosen.name,
            "twin": twin_of(chosen, points).name,
            "origins": _origins(points, rows),
            "methods": methods,
        }
    table = pd.DataFrame(score_rows, columns=SCORES).astype({"seed": "Int64"})
    with atomic_folder(PATHS.details) as folder:
        for name, found_rows in tables._asdict().items():
            pd.DataFrame(found_rows).to_parquet(folder / f"{name}.parquet", index=False)
    write_text(PATHS.reports / "table.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_json(PATHS.reports / "metrics.json", metrics)
    print(_summary(metrics))


def _refuse_stale(points: list[ForecastPoint], sweep: Sweep) -> None:
    """ExpectedError where a point was trained by other parameters than those it is now to be judged by."""
    recipe = sweep.recipe
    for point in points:
        told = sweep.points[point.name]
        missing = [horizon for horizon in recipe.horizons if horizon not in point.validation]
        if missing:
            raise ExpectedError(
                f"{point.folder} has no horizon {missing[0]}: `dvc repro mole_train@{point.name}` adds it"
            )
        if (
            (point.backbone, point.experts, point.top_k, point.lookback)
            != (told.backbone, told.experts, told.top_k, recipe.lookback)
            or any(set(point.validation[horizon]) != set(recipe.seeds) for horizon in recipe.horizons)
        ):  # fmt: skip
            raise ExpectedError(
                f"{point.folder} was trained by other parameters than mole.sweep.recipe and "
                f"mole.sweep.points.{point.name} have by now: `dvc repro mole_train@{point.name}` trains anew"
            )


def _horizon(series: Series, scaler: Scaler, sweep: Sweep, rows: int, device: torch.device) -> Horizon:
    lookback = sweep.recipe.lookback
    train, validation, test = (
        ResidentWindows(windows_of(series, scaler, split, lookback, rows), AT_ONCE, device)
        for split in ("train", "validation", "test")
    )
    return Horizon(rows, validation, test, least_squares(train.epoch(0)).float())


def _baselines(horizon: Horizon, evaluation: Evaluate) -> list[Found]:
    rows, season = horizon.rows, evaluation.season
    forecasts = {
        "least_squares": lambda batch: batch.x_BCL @ horizon.least_squares_HL.T,
        "seasonal_naive": lambda batch: seasonal_naive(batch.x_BCL, rows, season),
        "last_value": lambda batch: last_value(batch.x_BCL, rows),
    }
    return [
        Found(
            name,
            "baseline",
            None,
            score(forecasts[name], horizon.test.epoch(0)),
            score(forecasts[name], horizon.validation.epoch(0)).mse,
        )
        for name in BASELINES
    ]


def _point(
    point: ForecastPoint, points: list[ForecastPoint], horizon: Horizon, channels: tuple[str, ...], tables: Tables
) -> list[Found]:
    """Every seed of a point, and rows about its experts where it has several."""
    found = []
    for seed in point.validation[horizon.rows]:
        model, config = point.load(horizon.rows, seed, horizon.test.device)
        if tuple(config["channels"]) != channels:
            raise ExpectedError(f"{point.folder} is of other channels: `dvc repro mole_train@{point.name}` trains anew")
        place = {"point": point.name, "horizon": horizon.rows, "seed": seed}
        variants = {}
        if point.experts > 1:
            weight_E = all_router_weights(model, horizon.validation.epoch(0)).mean((0, 1))
            variants = variants_of(point.experts, by_service(weight_E))
        test, reduced = scores(model, horizon.test.epoch(0), variants)
        validation, reduced_validation = scores(model, horizon.validation.epoch(0), variants)
        found.append(Found(point.name, "model", seed, test, validation.mse))
        if point.experts > 1:
            for way in ("prune", "top_k"):
                tables.reduced.append(place | _reduced(way, point.experts, test, validation))
            tables.reduced.extend(
                place | _reduced(variant.way, variant.experts, errors, reduced_validation[variant])
                for variant, errors in reduced.items()
            )
            _add_specialisation(tables, model, horizon, channels, place)
    about = {"backbone": point.backbone, "experts": point.experts, "top_k": point.top_k}
    twin = twin_of(point, points).name
    tables.points.append({"horizon": horizon.rows, "point": point.name, **about, "twin": twin, **forecast_cost(model)})
    return found


def _reduced(way: str, experts: int, test: ForecastErrors, validation: ForecastErrors) -> Row:
    return {
        "way": way,
        "experts": experts,
        "mse": test.mse,
        "mae": test.mae,
        "validation_mse": validation.mse,
    }


def _add_specialisation(tables: Tables, model: Mole, horizon: Horizon, channels: tuple[str, ...], place: Row) -> None:
    """Which expert serves which hour and weekday of the first row of a window, and how much each serves in all."""
    weight_NCE = all_router_weights(model, horizon.test.epoch(0)).double().numpy()
    stamp_N = np.concatenate([batch.stamp_B.cpu().numpy() for batch in horizon.test.epoch(0)])
    when = {"hour": stamp_N // 3600 % 24, "weekday": (stamp_N // 86400 + 3) % 7}  # day 0, 1970-01-01, was a Thursday
    for by, value_N in when.items():
        for value in np.unique(value_N):
            mean_CE = weight_NCE[value_N == value].mean(0)
            for name, weight_E in (*zip(channels, mean_CE, strict=True), ("all", mean_CE.mean(0))):
                tables.expert_weights.extend(
                    {**place, "by": by, "value": int(value), "channel": name, "expert": e, "weight": float(weight)}
                    for e, weight in enumerate(weight_E)
                )
    top_E = np.bincount(weight_NCE.argmax(2).ravel(), minlength=model.experts) / weight_NCE[..., 0].size
    for expert, (weight, top) in enumerate(zip(weight_NCE.mean((0, 1)), top_E, strict=True)):
        tables.usage.append({**place, "expert": expert, "weight": float(weight), "top": float(top)})


def _origins(points: list[ForecastPoint], rows: int) -> Row:
    """What the mixtures were chosen by: validation losses over those of least squares, by where validation starts."""
    return {
        point.name: {origin.start: _rounded(origin.relative_loss) for origin in point.origins[rows]}
        for point in points
        if point.experts > 1
    }


def _score_rows(found: Found, rows: int) -> list[Row]:
    values = {"mse": found.test.mse, "mae": found.test.mae, "validation_mse": found.validation_mse}
    return [
        dict(zip(SCORES, (rows, found.method, found.role, found.seed, metric, value), strict=True))
        for metric, value in values.items()
    ]


def _add_means(tables: Tables, found: list[Found], rows: int, channels: tuple[str, ...], shown: set[str]) -> None:
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


def _methods(table: pd.DataFrame, rows: int) -> Row:
    """Mean and standard deviation over seeds."""
    found: Row = {}
    for key, values in table[table["horizon"] == rows].groupby(["method", "metric"], sort=False)["value"]:
        method, metric = map(str, key)
        deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        found.setdefault(method, {})[metric] = {"mean": _rounded(float(values.mean())), "sd": _rounded(deviation)}
    return found


def _summary(metrics: Row) -> str:
    """A line for each horizon: the chosen mixture beside its twin and least squares."""
    lines = []
    for rows, found in metrics["horizons"].items():
        names = (found["chosen"], found["twin"], *BASELINES)
        shown = ", ".join(f"{name} {found['methods'][name]['mse']['mean']:.4f}" for name in names)
        lines.append(
            f"MSE at horizon {rows} ({metrics['windows'][rows]:,} test windows): {shown}; chosen by validation"
        )
    return "\n".join(lines)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


if __name__ == "__main__":
    run_stage(SECTIONS, run)
