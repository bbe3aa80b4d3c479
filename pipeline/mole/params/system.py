"""Section `mole` of params.yaml: the series, the sweep of forecasters, and how they are judged."""

from typing import Self

from pydantic import model_validator

from pipeline.mole.params.evaluate import Evaluate
from pipeline.mole.params.ingest import Ingest
from pipeline.mole.params.sweep import Sweep
from pipeline.mole.params.ttnn import Ttnn
from pipeline.params.section import Section


class Mole(Section):
    ingest: Ingest
    sweep: Sweep
    evaluate: Evaluate
    ttnn: Ttnn

    @model_validator(mode="after")
    def _season_is_seen(self) -> Self:
        season, lookback = self.evaluate.season, self.sweep.recipe.lookback
        if season > lookback:
            raise ValueError(
                f"mole.evaluate.season ({season}) must not exceed mole.sweep.recipe.lookback ({lookback}): the "
                "seasonal-naive baseline repeats a season that it has seen"
            )
        return self
