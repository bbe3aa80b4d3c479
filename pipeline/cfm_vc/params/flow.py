"""Section `cfm_vc.flow`."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import (
    WIDEST,
    Count,
    LearningRate,
    NotNegative,
    Positive,
    Share,
    Width,
    Widths,
)


class Flow(Optimisation):
    source: Literal["control", "noise"] = "control"
    coupling: Literal["ot", "independent"] = "ot"
    hidden: Widths = [128, 128]
    time_embedding: Annotated[int, Field(ge=2, le=WIDEST, multiple_of=2)] = 16
    covariate_embedding: Width = 8
    covariate_dropout: Share = 0.5
    perturbation_embedding: Width = 16
    perturbation_dropout: Share = 0.0
    basis: Width = 8
    distribution_weight: NotNegative = 0.1
    prior_weight: Share = 0.5
    largest_size: Annotated[float, Field(ge=1, le=10)] = 1.5
    learning_rate: LearningRate = 0.003
    weight_decay: NotNegative = 1e-05
    gradient_clip: Positive = 1.0
    batch_size: Count = 256
    epochs: Count = 40
    patience: Count = 10
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
