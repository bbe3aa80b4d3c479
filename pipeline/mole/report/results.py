"""Reading what the evaluation of forecasts, and the benchmark on a measured series, wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.metrics.results import read_results
from pipeline.mole.data.ridge_choice import RidgeChoice
from pipeline.mole.data.step import Step
from pipeline.mole.report.board import Board, Choice, board_of
from pipeline.report.frames import read_parquet
from pipeline.report.measured import MAKER, MeasuredStudy, measured_studies
from pipeline.report.reading import Maker, malformed, read_json, stage

_FRAMES = {
    "points": ["horizon", "point", "backbone", "experts", "top_k", "twin", "parameters", "flops"],
    "channels": ["horizon", "method", "channel", "mse", "mae"],
    "steps": ["horizon", "method", "step", "mse"],
    "expert_weights": ["point", "horizon", "seed", "by", "value", "channel", "expert", "weight"],
    "usage": ["point", "horizon", "seed", "expert", "weight", "top"],
    "reduced": ["point", "horizon", "way", "experts", "seed", "mse", "mae", "validation_mse"],
    "coverage": ["horizon", "method", "by", "value", "coverage"],
    "example": ["point", "horizon", "window", "channel", "series", "step", "value"],
}
_UNDEFINED = {("points", "top_k")}  # columns of numbers that may be empty
_MAY_BE_EMPTY = ("coverage",)  # where validation rows are too few to calibrate intervals
_OF_THE_CHOSEN = ("expert_weights", "usage", "reduced", "example")  # frames that have to hold the chosen point
_CHOICE = ("horizons", "windows")
_SOURCE = ("simulated", "description", "channels", "rows", "input_sha256", "notes")


@dataclass(frozen=True)
class MeasuredSeries:
    """A benchmark on a measured series, with the choice made by its own validation windows."""

    study: MeasuredStudy
    board: Board


@dataclass(frozen=True)
class Forecasting:
    """What is known of forecasts. Frames have the columns of `_FRAMES`."""

    source: Mapping[str, Any]  # source.json: simulated, description, channels, rows
    step: Step
    board: Board
    points: pd.DataFrame
    channels: pd.DataFrame
    steps: pd.DataFrame
    expert_weights: pd.DataFrame
    usage: pd.DataFrame
    reduced: pd.DataFrame
    coverage: pd.DataFrame
    example: pd.DataFrame
    measured: list[MeasuredSeries]

    def of_chosen(self, frame: pd.DataFrame, horizon: int) -> pd.DataFrame:
        """The rows of a frame about the chosen point at a horizon."""
        point = self.board.choices[horizon].chosen
        return frame[(frame["point"] == point) & (frame["horizon"] == horizon)]

    def experts(self, point: str) -> int:
        return int(self.points.loc[self.points["point"] == point, "experts"].iloc[0])


def read_forecasting(at: StudyPaths) -> Forecasting:
    """All inputs of the chapter of a study."""
    folder, maker = at.details, stage(f"evaluate@mole-{at.study}")
    frames = {
        name: read_parquet(folder / f"{name}.parquet", maker, columns, may_be_empty=name in _MAY_BE_EMPTY)
        for name, columns in _FRAMES.items()
    }
    for name, frame in frames.items():
        for column in frame.select_dtypes("number"):
            if (name, column) not in _UNDEFINED and not np.isfinite(frame[column]).all():
                raise malformed(folder / f"{name}.parquet", maker, f"a value of {column} is not finite")
    board = _board(at, maker)
    for horizon, choice in board.choices.items():
        for name in _OF_THE_CHOSEN:
            rows = frames[name]
            if not ((rows["point"] == choice.chosen) & (rows["horizon"] == horizon)).any():
                raise malformed(folder / f"{name}.parquet", maker, f"nothing about {choice.chosen} at {horizon}")
        for name in ("channels", "steps"):
            rows = frames[name][frames[name]["horizon"] == horizon]
            for method in (choice.chosen, choice.twin, *board.baselines):
                if method not in set(rows["method"]):
                    raise malformed(folder / f"{name}.parquet", maker, f"nothing about {method} at {horizon}")
    path, ingest = at.raw / "source.json", stage(f"ingest@mole-{at.study}")
    source = read_json(path, ingest, _SOURCE)
    try:
        step = Step.restored(source)
    except KeyError as error:
        raise malformed(path, ingest, f"lacks {error.args[0]}") from error
    return Forecasting(source, step, board, measured=_measured(source), **frames)


def _board(at: StudyPaths, maker: Maker) -> Board:
    choices = at.details / "choices.json"
    return _checked(at.results, choices, maker, read_json(choices, maker, _CHOICE))


def _measured(source: Mapping[str, Any]) -> list[MeasuredSeries]:
    """Measured series whose results are in git, for a run on a simulated series or on the very same file."""
    simulated, digest = bool(source["simulated"]), source["input_sha256"]
    return [
        MeasuredSeries(study, _checked(study.scores, study.path, MAKER, study.about))
        for study in measured_studies("mole", _CHOICE, embedded=simulated, digest=digest)
    ]


def _checked(table: Path, path: Path, maker: Maker, about: Mapping[str, Any]) -> Board:
    try:
        choices = {int(horizon): _choice(of) for horizon, of in about["horizons"].items()}
        windows = {int(horizon): int(count) for horizon, count in about["windows"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise malformed(
            path, maker, f"not the chosen point, its twin, the origins and the windows of each horizon: {error!r}"
        ) from error
    if not choices or set(choices) - set(windows):
        raise malformed(path, maker, "no horizon, or one without its number of windows")
    rows = read_results(table, maker.command, maker.again)
    try:
        return board_of(rows, choices, windows)
    except ExpectedError as error:
        raise malformed(table, maker, str(error)) from error


def _choice(of: Mapping[str, Any]) -> Choice:
    origins = {
        str(name): {str(start): float(ratio) for start, ratio in by_start.items()}
        for name, by_start in of["origins"].items()
    }
    ridges = {
        str(name): [RidgeChoice.model_validate(one) for one in maps] for name, maps in of.get("ridges", {}).items()
    }
    return Choice(str(of["chosen"]), str(of["twin"]), origins, ridges)
