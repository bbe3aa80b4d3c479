"""Section `bayes_moe.evaluate`."""

from typing import Annotated

from pydantic import Field

from pipeline.params.section import Section


class Evaluate(Section):
    """How points are compared."""

    bins: Annotated[int, Field(ge=1, le=10_000)] = 15
