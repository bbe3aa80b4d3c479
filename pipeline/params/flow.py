"""Section `flow`."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import Count, NotNegative, Share, Widths


class Flow(Optimisation):
    source: Literal["control", "noise"]
    coupling: Literal["ot", "independent"]
    hidden: Widths
    time_embedding: Annotated[int, Field(ge=2, multiple_of=2)]
    covariate_embedding: Count
    covariate_dropout: Share
    perturbation_embedding: Count
    perturbation_dropout: Share
    basis: Count
    distribution_weight: NotNegative
