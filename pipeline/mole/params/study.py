"""A study of `mole.studies`: a time series, and whether inference is measured on its forecasters."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from pipeline.mole.params.evaluate import Evaluate
from pipeline.mole.params.ingest import Ingest
from pipeline.mole.params.ridge import RidgeGrid
from pipeline.mole.params.sweep import Sweep
from pipeline.mole.params.ttnn import Ttnn
from pipeline.params.study import SweepStudy


class Study(SweepStudy):
    """inference: whether ttnn_benchmark measures its forecasters."""

    ingest: Ingest
    inference: bool = False
    ridge: RidgeGrid = RidgeGrid()
    sweep: Sweep = Sweep()
    evaluate: Evaluate = Evaluate()
    ttnn: Ttnn = Ttnn()

    def own_stages(self) -> Mapping[str, Mapping[str, Any]]:
        inference = {"inference": {"threads": self.ttnn.threads}} if self.inference else {}
        return {"ridge": {"threads": self.sweep.recipe.threads}, **inference}

    @model_validator(mode="after")
    def _season_is_seen(self) -> Self:
        season, lookback = self.evaluate.season, self.sweep.recipe.lookback
        if season > lookback:
            raise ValueError(
                f"evaluate.season ({season}) must not exceed sweep.recipe.lookback ({lookback}): the seasonal-naive "
                "baseline repeats a season that it has seen"
            )
        return self

    @model_validator(mode="after")
    def _measured_are_trained(self) -> Self:
        if not self.inference:
            return self
        unknown = [name for name in self.ttnn.points if name not in self.sweep.points]
        if unknown:
            raise ValueError(f"ttnn.points names {unknown[0]}, which is not among sweep.points")
        if self.ttnn.horizon not in self.sweep.recipe.horizons:
            raise ValueError(f"ttnn.horizon ({self.ttnn.horizon}) is not among sweep.recipe.horizons")
        return self
