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
    Neighbourhood,
    NotNegative,
    Positive,
    Section,
    Share,
    Width,
)


class Modes(Section):
    """Probabilities of the training tasks; they sum to 1."""

    joint: Share
    expr_to_pos: Share
    pos_to_expr: Share

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.joint + self.expr_to_pos + self.pos_to_expr
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"the chances of joint, expr_to_pos and pos_to_expr must sum to 1, not to {total:g}")
        return self


class Network(Section):
    """The architecture: everything that determines the number of parameters, apart from the data."""

    dimensions: Width
    layers: Layers
    heads: Width
    hidden: Width
    attention: Literal["softmax", "linear"]
    gate: Literal["none", "headwise", "elementwise"]
    ffn: Literal["dense", "moe"]
    experts: Annotated[int, Field(ge=2, le=MOST_EXPERTS)]
    top_k: Experts

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        if self.dimensions % self.heads:
            raise ValueError(f"dimensions ({self.dimensions}) must be a multiple of heads ({self.heads})")
        if self.top_k > self.experts:
            raise ValueError(f"top_k ({self.top_k}) must not exceed experts ({self.experts})")
        return self


class Diffusion(Network, Optimisation):
    modes: Modes
    neighbourhood: Neighbourhood
    neighbourhoods_per_epoch: Count
    scattered: Share
    thinning: Annotated[float, Field(ge=0, lt=1)]
    capacity_factor: Positive | None
    balance_weight: NotNegative
    prediction: Literal["x0", "v"]
    steps: Annotated[int, Field(ge=1, le=10_000)]
    expression_exponent: Positive
    position_exponent: Positive
    noise_share: Share
    position_weight: NotNegative
    neighbour_weight: NotNegative
    masking: Literal["none", "random", "block", "structured"]
    masked_genes: Share
    masked_dimensions: Share
    masked_weight: NotNegative
    covariate_dropout: Share
    condition_dropout: Share
    orientation: Literal["shared", "free"]
    dropout: Annotated[float, Field(ge=0, lt=1)]

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
)
