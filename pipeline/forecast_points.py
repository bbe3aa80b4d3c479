"""The forecasters that mole_train wrote: which there are, which one validation chooses, and how to load one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from pipeline.errors import ExpectedError
from pipeline.files import read_json
from pipeline.models.mole import Mole
from pipeline.training.weights import load_model

ABOUT = "about.json"


@dataclass(frozen=True)
class ForecastPoint:
    """One point of the sweep, trained for several horizons and with several seeds."""

    folder: Path
    backbone: str
    experts: int
    top_k: int | None
    lookback: int
    validation: Mapping[int, Mapping[int, float]]  # loss by horizon and seed

    @property
    def name(self) -> str:
        return self.folder.name

    def validation_loss(self, horizon: int) -> float:
        """Mean over the seeds."""
        return fmean(self.validation[horizon].values())

    def best_seed(self, horizon: int) -> int:
        """The one of the lowest validation loss."""
        return min(self.validation[horizon], key=lambda seed: self.validation[horizon][seed])

    def network(self, horizon: int, seed: int) -> Path:
        """The folder of one of its networks."""
        return self.folder / f"h{horizon}_seed{seed}"

    def load(self, horizon: int, seed: int, device: torch.device | None = None) -> tuple[Mole, dict[str, Any]]:
        """The model in eval mode, and its config.json. ExpectedError where it is missing or damaged."""
        return load_model(self.network(horizon, seed), Mole, device, f"mole_train@{self.name}")


def read_point(folder: Path) -> ForecastPoint:
    """What mole_train wrote to `folder`. ExpectedError where it is not there, or damaged."""
    try:
        about = read_json(folder / ABOUT)
        point = about["point"]
        validation = {
            int(horizon): {int(seed): loss for seed, loss in losses.items()}
            for horizon, losses in about["validation_loss"].items()
        }
        return ForecastPoint(folder, point["backbone"], point["experts"], point["top_k"], about["lookback"], validation)
    except FileNotFoundError as error:
        raise ExpectedError(f"{error.filename} not found: `dvc repro mole_train@{folder.name}` makes it") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        again = f"dvc repro --force mole_train@{folder.name}"
        raise ExpectedError(f"{folder / ABOUT} is damaged: `{again}` makes it anew") from error


def read_points(folder: Path) -> list[ForecastPoint]:
    """All points in `folder`, by name. ExpectedError where there is none, or one is damaged."""
    points = [read_point(about.parent) for about in sorted(folder.glob(f"[!.]*/{ABOUT}"))]
    if not points:
        raise ExpectedError(f"no forecaster in {folder}: `dvc repro mole_train` trains those of params.yaml")
    return points


def chosen_mixture(points: Iterable[ForecastPoint], horizon: int) -> ForecastPoint:
    """The mixture of experts with the lowest validation loss: the test rows have no part in the choice."""
    return min((point for point in points if point.experts > 1), key=lambda point: point.validation_loss(horizon))


def twin_of(point: ForecastPoint, points: Iterable[ForecastPoint]) -> ForecastPoint:
    """The same backbone alone."""
    return next(other for other in points if other.experts == 1 and other.backbone == point.backbone)
