"""Section `bayes_moe.evaluate`."""

from typing import Annotated

from pydantic import Field

from pipeline.params.section import Section, Seed


class Evaluate(Section):
    """How points are compared."""

    bins: Annotated[int, Field(ge=1, le=10_000)] = 15
    replicates: Annotated[int, Field(ge=100, le=1_000_000)] = 1000
    seed: Seed = 0
