"""Section `bayes_moe.sweep`: how image classifiers, dense and sparse, are trained, and which ones."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import (
    MOST,
    MOST_AT_ONCE,
    MOST_EXPERTS,
    MOST_POINTS,
    Count,
    Counts,
    Experts,
    NotNegative,
    PointName,
    Positive,
    Section,
    Seeds,
    Share,
    Width,
)
from pipeline.params.sweep import check_mixtures, check_twin


class Recipe(Optimisation):
    """What all points share, so that nothing but the point itself can make a difference."""

    batch_size: Annotated[int, Field(ge=2, le=MOST)]  # batch norm needs two
    width: Width
    hidden: Width
    shift: Annotated[int, Field(ge=0, le=MOST_AT_ONCE)]
    flip: bool
    validation_share: Annotated[float, Field(gt=0, le=0.5)]
    corrupted_pictures: Count
    samples: Counts
    seeds: Seeds

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is given twice in seeds")
        return self


class Point(Section):
    """One classifier of the sweep: dense where it has no `experts`."""

    place: Literal["head", "block"] = "head"
    experts: Annotated[int, Field(ge=2, le=MOST_EXPERTS)] | None = None
    top_k: Experts = 1
    gate: Literal["top_k", "noisy_top_k", "gumbel_top_k", "dropout", "variational"] = "top_k"
    balance: Literal["switch", "importance", "bias"] = "switch"
    balance_weight: NotNegative = 0.1
    z_weight: NotNegative = 0.0
    divergence_weight: NotNegative = 0.01
    temperature: Positive = 1.0
    capacity_factor: Positive | None = None
    adaptive_entropy: Share = 0.0
    hidden_per_expert: Width | None = None

    @model_validator(mode="after")
    def _top_k_fits(self) -> Self:
        if self.experts is None:
            idle = sorted(self.model_fields_set - {"place", "experts"})
            if idle:
                raise ValueError(f"{idle[0]} says nothing about a dense point: give experts, or leave it out")
        elif self.top_k > self.experts:
            raise ValueError(f"top_k ({self.top_k}) must not exceed experts ({self.experts})")
        return self


class Sweep(Section):
    recipe: Recipe
    points: Annotated[dict[PointName, Point], Field(max_length=MOST_POINTS)]

    @model_validator(mode="after")
    def _twins(self) -> Self:
        dense = [point.place for point in self.points.values() if point.experts is None]
        check_mixtures(len(dense), len(self.points))
        for place in ("head", "block"):
            sparse = [name for name, p in self.points.items() if p.experts is not None and p.place == place]
            check_twin(f"dense point in the {place}", dense.count(place), sparse)
        return self

    @property
    def sparse(self) -> list[str]:
        """The points with experts."""
        return [name for name, point in self.points.items() if point.experts is not None]

    def twin_of(self, name: str) -> str:
        """The dense point in the same place; of a dense point, itself or the first one there."""
        place = self.points[name].place
        return next(other for other, p in self.points.items() if p.experts is None and p.place == place)
