"""Section `mole.ridge`: what is searched for the tuned linear baseline."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.section import MOST_POINTS, Section

LONGEST = 4_096  # rows: the moments and the eigendecomposition of so many take 2 GB and a minute


class RidgeGrid(Section):
    """The penalty is searched, too, among those of `pipeline.mole.model.ridge_search`."""

    lookbacks: Annotated[list[Annotated[int, Field(ge=1, le=LONGEST)]], Field(max_length=MOST_POINTS)] = [
        96,
        192,
        336,
        512,
        720,
    ]
    offsets: Annotated[list[Literal["none", "last", "mean"]], Field(min_length=1, max_length=3)] = [
        "none",
        "last",
        "mean",
    ]

    per_channel: bool = True

    @model_validator(mode="after")
    def _lists(self) -> Self:
        for name in ("lookbacks", "offsets"):
            given = getattr(self, name)
            if len(set(given)) < len(given):
                raise ValueError(f"{name} holds a value twice")
        return self
