"""Section `cfm_vc.flow`."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import WIDEST, NotNegative, Share, Width, Widths


class Flow(Optimisation):
    source: Literal["control", "noise"]
    coupling: Literal["ot", "independent"]
    hidden: Widths
    time_embedding: Annotated[int, Field(ge=2, le=WIDEST, multiple_of=2)]
    covariate_embedding: Width
    covariate_dropout: Share
    perturbation_embedding: Width
    perturbation_dropout: Share
    basis: Width
    distribution_weight: NotNegative
