"""Section `alphastomics.diffusion`: the network of expression and position, and its training."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import (
    MOST_EXPERTS,
    Count,
    Experts,
    Layers,
    LearningRate,
    Neighbourhood,
    NotNegative,
    Positive,
    Section,
    Share,
    Whole,
    Width,
)


class Modes(Section):
    """Probabilities of the training tasks; they sum to 1."""

    joint: Share = 0.1
    expr_to_pos: Share = 0.5
    pos_to_expr: Share = 0.4

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.joint + self.expr_to_pos + self.pos_to_expr
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"the chances of joint, expr_to_pos and pos_to_expr must sum to 1, not to {total:g}")
        return self


class Network(Section):
    """The architecture: everything that determines the number of parameters, apart from the data."""

    dimensions: Width = 64
    layers: Layers = 3
    heads: Width = 4
    hidden: Width = 128
    attention: Literal["softmax", "linear"] = "softmax"
    gate: Literal["none", "headwise", "elementwise"] = "headwise"
    ffn: Literal["dense", "moe"] = "moe"
    experts: Annotated[int, Field(ge=2, le=MOST_EXPERTS)] = 4
    top_k: Experts = 2

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        if self.dimensions % self.heads:
            raise ValueError(f"dimensions ({self.dimensions}) must be a multiple of heads ({self.heads})")
        if self.top_k > self.experts:
            raise ValueError(f"top_k ({self.top_k}) must not exceed experts ({self.experts})")
        return self


class Diffusion(Network, Optimisation):
    modes: Modes = Modes()
    neighbourhood: Neighbourhood = 256
    neighbourhoods_per_epoch: Count = 32
    scattered: Share = 1.0
    thinning: Annotated[float, Field(ge=0, lt=1)] = 0.8
    capacity_factor: Positive | None = None
    balance_weight: NotNegative = 0.01
    prediction: Literal["x0", "v"] = "x0"
    steps: Annotated[int, Field(ge=1, le=10_000)] = 1000
    expression_exponent: Positive = 1.0
    position_exponent: Positive = 1.0
    noise_share: Share = 0.5
    position_weight: NotNegative = 1.0
    neighbour_weight: NotNegative = 2.0
    masking: Literal["none", "random", "block", "structured"] = "random"
    masked_genes: Share = 0.3
    masked_dimensions: Share = 0.33
    masked_weight: NotNegative = 1.0
    covariate_dropout: Share = 0.3
    condition_dropout: Share = 0.1
    orientation: Literal["shared", "free"] = "shared"
    estimates: Literal["measured", "none"] = "measured"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    learning_rate: LearningRate = 0.003
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: Whole = 1
    weight_decay: NotNegative = 0.3
    gradient_clip: Positive = 1.0
    batch_size: Count = 2
    epochs: Count = 20
    patience: Count = 20
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.95

    @model_validator(mode="after")
    def _masking_hides(self) -> Self:
        if self.masking != "none" and self.masked_genes == self.masked_dimensions == 0:
            raise ValueError(
                f"masking: {self.masking} hides nothing while masked_genes and masked_dimensions are 0; raise one of "
                "them, or set masking: none"
            )
        return self


# (a switch, the value that turns it off, the fields that then have no effect)
SWITCHES = (
    ("ffn", "dense", ("experts", "top_k", "capacity_factor", "balance_weight")),
    ("masking", "none", ("masked_genes", "masked_dimensions", "masked_weight")),
    ("orientation", "free", ("estimates",)),
)
