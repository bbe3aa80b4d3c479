"""The trainings of one point of a sweep: a checkpoint each, one file of curves and one of final losses for all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.core.files import write_json
from pipeline.core.paths import StudyPaths
from pipeline.params.sweep import Training
from pipeline.training.checkpoint import Checkpoints, checkpoints
from pipeline.training.curves import Curve, write_curve
from pipeline.training.fit import Batches, Fitted, fit
from pipeline.training.metrics import training_metrics
from pipeline.training.processes import Parts


@dataclass(frozen=True)
class PointTraining:
    """The trainings of a point so far, by `stage`; a checkpoint depends on the files `inputs`."""

    at: StudyPaths
    stage: str
    inputs: Sequence[Path]
    device: torch.device
    _curves: Curve = field(default_factory=list)
    _numbers: dict[str, Any] = field(default_factory=dict)
    _progress: list[Checkpoints] = field(default_factory=list)

    def fit(
        self,
        key: str,
        training: Training[Any, Any],
        objective: nn.Module,
        train: Batches[Any],
        validation: Batches[Any],
        judge: Callable[[nn.Module], Parts] | None = None,
        keep_initial: bool = False,
        rate_factors: Mapping[str, float] | None = None,
    ) -> Fitted:
        """Train once with `fit`; `key` names the training in the file of final losses."""
        place = {**training.model_dump(exclude={"recipe", "point"}), "seed": training.recipe.seed}
        title = ", ".join([self.at.instance, *(f"{axis} {value}" for axis, value in place.items())])
        self._progress.append(checkpoints(self.stage, training, self.inputs))
        found = fit(
            title,
            objective,
            train,
            validation,
            training.recipe,
            self.device,
            self._progress[-1],
            judge,
            keep_initial,
            rate_factors,
        )
        self._curves.extend({**place, **row} for row in found.curve)
        self._numbers[key] = training_metrics(found, objective)
        return found

    def solved(
        self, key: str, training: Training[Any, Any], model: nn.Module, train_loss: float, validation_loss: float
    ) -> None:
        """A training in closed form: one row of the curves, before any epoch, and nothing to resume."""
        losses = {"train_loss": train_loss, "validation_loss": validation_loss}
        place = {**training.model_dump(exclude={"recipe", "point"}), "seed": training.recipe.seed}
        self._curves.append({**place, "epoch": 0, **losses})
        found = Fitted([], 0, {"loss": train_loss}, {"loss": validation_loss})
        self._numbers[key] = training_metrics(found, model)

    def write(self) -> None:
        """Write curves and final losses; remove the checkpoints, by which a killed stage skips finished trainings."""
        write_curve(self.at.curves / f"{self.at.point}.csv", self._curves)
        write_json(self.at.training / f"{self.at.point}.json", self._numbers)
        for kept in self._progress:
            kept.remove()
