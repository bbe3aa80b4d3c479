"""The forecasters that mole_train and ridge wrote: which there are, which one validation prefers, how to load one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import torch

from pipeline.core.errors import ExpectedError
from pipeline.core.sealed import read_sealed
from pipeline.mole.data.ridge_choice import RIDGES, RidgeChoice
from pipeline.mole.metrics.gain import Losses
from pipeline.mole.metrics.gain import preferred as clearly_better
from pipeline.mole.model.cycle_mixture import CycleMixture
from pipeline.mole.model.held_out import optimism
from pipeline.mole.model.mixture import Mole
from pipeline.mole.model.mixture_scores import Network
from pipeline.training.weights import load_model

ABOUT = "about.json"


@dataclass(frozen=True)
class Origin:
    """What a point, trained on the rows before them, does on the validation rows from here on."""

    start: str  # time stamp of the first of them
    end: str  # and of the last
    loss: float
    held_out: float  # of rows without a part in the choice of settings and epochs, the start's included
    least_squares: float  # the loss of the closed form of the same train rows

    @property
    def optimism(self) -> float:
        """How many times as large the loss is where these rows have no part in any choice."""
        return optimism([self.held_out], [self.loss])[0]

    @property
    def relative_loss(self) -> float:
        """As a multiple of that of least squares: rows of one stretch of time are harder than those of another."""
        return self.held_out / self.least_squares


@dataclass(frozen=True)
class ForecastPoint:
    """One point of the sweep, trained for several horizons and with several seeds; or the tuned linear baseline, with
    seed 0 alone."""

    folder: Path
    backbone: str
    experts: int
    top_k: int | None
    lookback: Mapping[int, int]  # by horizon
    validation: Mapping[int, Mapping[int, float]]  # loss by horizon and seed
    origins: Mapping[int, Sequence[Origin]]  # by horizon: from the earliest to the validation rows themselves
    # Of a ridge, by horizon: its one map, or that of each channel.
    maps: Mapping[int, Sequence[RidgeChoice]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def stage(self) -> str:
        """That trains it."""
        return _stage(self.folder)

    def relative_loss(self, horizon: int) -> float:
        """Its geometric mean over the origins: Davydenko and Fildes, "Measuring forecasting accuracy" (2013)."""
        return geometric_mean(origin.relative_loss for origin in self.origins[horizon])

    def losses(self, horizon: int) -> Losses:
        """Over those of least squares, by where validation starts."""
        return {origin.start: origin.relative_loss for origin in self.origins[horizon]}

    def best_seed(self, horizon: int) -> int:
        """The one of the lowest validation loss."""
        return min(self.validation[horizon], key=lambda seed: self.validation[horizon][seed])

    def network(self, horizon: int, seed: int) -> Path:
        """The folder of one of its networks."""
        return self.folder / f"h{horizon}_seed{seed}"

    def load(self, horizon: int, seed: int, device: torch.device | None = None) -> tuple[Network, dict[str, Any]]:
        """The model in eval mode, and its config.json. ExpectedError where it is missing or damaged."""
        kind = CycleMixture if self.backbone == "cycle" else Mole
        return load_model(self.network(horizon, seed), kind, device, self.stage)


def read_point(folder: Path) -> ForecastPoint:
    """What mole_train or ridge wrote to `folder`. ExpectedError where it is not there, or damaged."""
    try:
        about = read_sealed(folder / ABOUT)
        point = about["point"]
        validation = {
            int(horizon): {int(seed): loss for seed, loss in losses.items()}
            for horizon, losses in about["validation_loss"].items()
        }
        origins = {int(horizon): [Origin(**one) for one in found] for horizon, found in about["origins"].items()}
        maps = {
            int(horizon): [RidgeChoice.model_validate(one) for one in found]
            for horizon, found in about.get("maps", {}).items()
        }
        lookback = {int(horizon): rows for horizon, rows in about["lookback"].items()}
        return ForecastPoint(
            folder, point["backbone"], point["experts"], point["top_k"], lookback, validation, origins, maps
        )
    except FileNotFoundError as error:
        raise ExpectedError(f"{error.filename} not found: `dvc repro {_stage(folder)}` makes it") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        again = f"dvc repro --force {_stage(folder)}"
        raise ExpectedError(f"{folder / ABOUT} is damaged, or of an older version: `{again}` makes it anew") from error


def refuse_missing_horizon(point: ForecastPoint, horizons: Iterable[int]) -> None:
    """ExpectedError where the point was not trained for one of these horizons."""
    missing = [horizon for horizon in horizons if horizon not in point.validation]
    if missing:
        raise ExpectedError(f"{point.folder} has no horizon {missing[0]}: `dvc repro {point.stage}` adds it")


def _stage(folder: Path) -> str:
    study = folder.parent.name
    return f"ridge@{study}" if folder.name in RIDGES else f"mole_train@{study}-{folder.name}"


def read_points(folder: Path) -> list[ForecastPoint]:
    """All points in `folder` that have a horizon, by name. ExpectedError where there is none, or one is damaged."""
    found = [read_point(about.parent) for about in sorted(folder.glob(f"[!.]*/{ABOUT}"))]
    points = [point for point in found if point.validation]
    if not points:
        raise ExpectedError(f"no forecaster in {folder}: `dvc repro mole_train` trains those of params.yaml")
    return points


def chosen_mixture(points: Iterable[ForecastPoint], horizon: int) -> ForecastPoint:
    """The mixture of experts of the lowest validation loss beside least squares, over all origins.

    The test rows have no part in the choice.
    """
    return min((point for point in points if point.experts > 1), key=lambda point: point.relative_loss(horizon))


def preferred(points: Sequence[ForecastPoint], horizon: int) -> ForecastPoint | None:
    """What forecasts are made with: the ridge, unless a ridge per channel or the chosen mixture gains over it by more
    than a standard error on the validation rows of all origins (`pipeline.mole.metrics.gain`). None: there is neither
    mixture nor ridge."""
    by_name = {point.name: point for point in points if horizon in point.validation}
    rivals = [by_name[name] for name in RIDGES if name in by_name]
    if any(point.experts > 1 for point in points):
        rivals.append(chosen_mixture(points, horizon))
    if not rivals:
        return None
    return by_name[clearly_better({point.name: point.losses(horizon) for point in rivals})]


def twin_of(point: ForecastPoint, points: Iterable[ForecastPoint]) -> ForecastPoint:
    """The same backbone alone."""
    return next(other for other in points if other.experts == 1 and other.backbone == point.backbone)
