"""Section `mole.sweep`: how forecasters are trained, alone and as mixtures, and which ones."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import (
    MOST_AT_ONCE,
    MOST_POINTS,
    Experts,
    LearningRate,
    NotNegative,
    PointName,
    Section,
    Seed,
    Seeds,
    Width,
    Window,
)
from pipeline.params.sweep import check_mixtures, check_twin

Dropout = Annotated[float, Field(ge=0, lt=1)]


class Recipe(Optimisation):
    """What all points share, so that nothing but the point itself can make a difference."""

    lookback: Annotated[int, Field(ge=2, le=MOST_AT_ONCE)]
    horizons: Annotated[list[Window], Field(min_length=1, max_length=MOST_POINTS)]
    kernel: Window
    offset: Literal["none", "last"]
    hidden: Width
    start: Literal["random", "least_squares"]
    earlier_origins: Annotated[int, Field(ge=0, le=MOST_POINTS)]
    head_dropout: Dropout
    seeds: Seeds
    seed: Seed = 0  # of one training: set from `seeds`

    @model_validator(mode="before")
    @classmethod
    def _no_seed(cls, given: Any) -> Any:
        if isinstance(given, dict) and "seed" in given:
            raise ValueError("seed says nothing here: every point is trained once with each of seeds")
        return given

    @model_validator(mode="after")
    def _lists_and_kernel(self) -> Self:
        for name, given in (("seeds", self.seeds), ("horizons", self.horizons)):
            if len(set(given)) < len(given):
                raise ValueError(f"{name} holds a value twice")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd: a moving average is centred on a row")
        return self


class Point(Section):
    """One forecaster: its backbone alone, or, where it has `experts`, several of its linear heads and a router."""

    backbone: Literal["dlinear", "rlinear", "rmlp"]
    experts: Experts = 1
    top_k: Experts | None = None
    head_dropout: Dropout | None = None
    weight_decay: NotNegative | None = None
    learning_rate: LearningRate | None = None

    @model_validator(mode="after")
    def _top_k_fits(self) -> Self:
        if self.top_k is not None and self.top_k > self.experts:
            raise ValueError(f"top_k ({self.top_k}) must not exceed experts ({self.experts})")
        if self.experts == 1 and self.head_dropout is not None:
            raise ValueError("head_dropout says nothing about a point without experts: give experts, or leave it out")
        return self


class Sweep(Section):
    recipe: Recipe
    points: Annotated[dict[PointName, Point], Field(max_length=MOST_POINTS)]

    @model_validator(mode="after")
    def _twins(self) -> Self:
        alone = [point.backbone for point in self.points.values() if point.experts == 1]
        check_mixtures(len(alone), len(self.points))
        for name, point in self.points.items():
            if point.experts > 1:
                check_twin(f"{point.backbone} without experts", alone.count(point.backbone), [name])
        return self
