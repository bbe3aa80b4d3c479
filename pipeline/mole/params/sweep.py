"""Section `mole.sweep`: how forecasters are trained, alone and as mixtures, and which ones."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import (
    MOST_AT_ONCE,
    MOST_POINTS,
    Count,
    Experts,
    LearningRate,
    NotNegative,
    PointName,
    Positive,
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

    start: Literal["random", "ridge"] = "ridge"
    lookback: Annotated[int, Field(ge=2, le=MOST_AT_ONCE)] = 96
    offset: Literal["none", "last", "mean"] = "last"
    horizons: Annotated[list[Window], Field(min_length=1, max_length=MOST_POINTS)] = [24, 96]
    kernel: Window = 25
    hidden: Width = 64
    earlier_origins: Annotated[int, Field(ge=0, le=MOST_POINTS)] = 3
    head_dropout: Dropout = 0.0
    seeds: Seeds = [0]  # of the study
    seed: Seed = 0  # of one training: one of `seeds`
    learning_rate: LearningRate = 3.0e-4
    router_learning_rate: LearningRate | None = 3.0e-3
    weight_decay: NotNegative = 0.0
    gradient_clip: Positive = 5.0
    batch_size: Count = 128
    epochs: Count = 6
    patience: Count = 5

    @model_validator(mode="after")
    def _lists_and_kernel(self) -> Self:
        if len(set(self.horizons)) < len(self.horizons):
            raise ValueError("horizons holds a value twice")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd: a moving average is centred on a row")
        return self


class Point(Section):
    """One forecaster: its backbone alone, or, where it has `experts`, several of its linear heads and a router."""

    backbone: Literal["dlinear", "rlinear", "rmlp", "cycle"]
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
        if self.backbone == "cycle":
            for name in ("top_k", "head_dropout", "weight_decay", "learning_rate"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} says nothing about cycles, which are fitted in closed form: leave it out")
        return self


POINTS = {
    "dlinear": Point(backbone="dlinear"),
    "rlinear": Point(backbone="rlinear"),
    "rmlp": Point(backbone="rmlp"),
    "cycle": Point(backbone="cycle"),
    "mole_dlinear": Point(backbone="dlinear", experts=4),
    "mole_rlinear": Point(backbone="rlinear", experts=4),
    "mole_rmlp": Point(backbone="rmlp", experts=4),
    "mole_cycle": Point(backbone="cycle", experts=2),
}


class Sweep(Section):
    recipe: Recipe = Recipe()
    points: Annotated[dict[PointName, Point], Field(max_length=MOST_POINTS)] = POINTS

    @model_validator(mode="after")
    def _ridge_is_taken(self) -> Self:
        for name in ("ridge", "group_ridge", "channel_ridge"):
            if name in self.points:
                raise ValueError(f"points names {name}, which is a searched linear baseline: choose another name")
        return self

    @model_validator(mode="after")
    def _twins(self) -> Self:
        alone = [point.backbone for point in self.points.values() if point.experts == 1]
        check_mixtures(len(alone), len(self.points))
        for name, point in self.points.items():
            if point.experts > 1:
                check_twin(f"{point.backbone} without experts", alone.count(point.backbone), [name])
        return self
