"""Which mixture validation chose at each horizon, whether it prefers the ridge to it, and by what."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.errors import ExpectedError
from pipeline.mole.params.sweep import Sweep
from pipeline.mole.points import ForecastPoint, chosen_mixture, refuse_missing_horizon, twin_of


def choices_of(
    points: Sequence[ForecastPoint], ridges: Sequence[ForecastPoint], windows: Mapping[int, int]
) -> dict[str, Any]:
    """What choices.json holds: of each horizon the test windows, the chosen mixture, its dense twin, the settings of
    the ridges, and the origins.

    origins: of each mixture and ridge, its validation loss over that of least squares, by where validation starts.
    """
    horizons = {}
    for horizon in windows:
        chosen = chosen_mixture(points, horizon)
        origins = {
            point.name: {origin.start: float(f"{origin.relative_loss:.6g}") for origin in point.origins[horizon]}
            for point in (*points, *ridges)
            if point.experts > 1 or point in ridges
        }
        horizons[str(horizon)] = {
            "chosen": chosen.name,
            "twin": twin_of(chosen, points).name,
            "ridges": {ridge.name: [one.model_dump() for one in ridge.maps[horizon]] for ridge in ridges},
            "origins": origins,
        }
    return {"windows": {str(horizon): count for horizon, count in windows.items()}, "horizons": horizons}


def refuse_stale(points: Sequence[ForecastPoint], ridge: ForecastPoint, sweep: Sweep) -> None:
    """ExpectedError where a point was trained by other parameters than those it is now to be judged by."""
    recipe = sweep.recipe
    for point in (*points, ridge):
        refuse_missing_horizon(point, recipe.horizons)
    for point in points:
        told = sweep.points[point.name]
        lookback = {
            horizon: ridge.lookback[horizon] if recipe.start == "ridge" else recipe.lookback
            for horizon in recipe.horizons
            if point.backbone != "cycle"  # which looks back as far as the ridge that it starts from
        }
        if (
            (point.backbone, point.experts, point.top_k) != (told.backbone, told.experts, told.top_k)
            or any(point.lookback[horizon] != rows for horizon, rows in lookback.items())
            or any(set(point.validation[horizon]) != set(recipe.seeds) for horizon in recipe.horizons)
        ):
            raise ExpectedError(
                f"{point.folder} was trained by other parameters than mole.sweep.recipe and "
                f"mole.sweep.points.{point.name} have by now: `dvc repro {point.stage}` trains anew"
            )
