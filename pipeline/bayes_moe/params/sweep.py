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
    LearningRate,
    NotNegative,
    PointName,
    Positive,
    Section,
    Seeds,
    Share,
    Whole,
    Width,
)
from pipeline.params.sweep import check_mixtures, check_twin


class Recipe(Optimisation):
    """What all points share, so that nothing but the point itself can make a difference."""

    batch_size: Annotated[int, Field(ge=2, le=MOST)] = 64  # batch norm needs two
    width: Width = 4
    hidden: Width = 256
    shift: Annotated[int, Field(ge=0, le=MOST_AT_ONCE)] = 1
    flip: bool = False
    validation_share: Annotated[float, Field(gt=0, le=0.5)] = 0.15
    corrupted_pictures: Count = 50
    samples: Counts = [1, 2, 4, 8, 16]
    seeds: Seeds = [0]  # of the study
    optimizer: Literal["adamw", "sgd"] = "sgd"
    learning_rate: LearningRate = 0.1
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: Whole = 1
    weight_decay: NotNegative = 0.0005
    gradient_clip: Positive = 5.0
    epochs: Count = 8
    patience: Count = 8


_OF_DENSE = {"hidden", "dropout", "members", "diversity_weight"}


class Point(Section):
    """One classifier of the sweep: dense where it has no `experts`. A dense one without `hidden`, `dropout` and
    `members` is the twin of the others in its place."""

    place: Literal["head", "block"] = "head"
    experts: Annotated[int, Field(ge=2, le=MOST_EXPERTS)] | None = None
    top_k: Experts = 1
    gate: Literal["top_k", "noisy_top_k", "gumbel_top_k", "dropout", "variational", "router_prior"] = "top_k"
    balance: Literal["switch", "importance", "bias"] = "switch"
    balance_weight: NotNegative = 0.1
    z_weight: NotNegative = 0.0
    divergence_weight: NotNegative = 0.01
    temperature: Positive = 1.0
    capacity_factor: Positive | None = None
    adaptive_entropy: Share = 0.0
    hidden_per_expert: Width | None = None
    hidden: Width | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    members: Annotated[int, Field(ge=2, le=MOST_EXPERTS)] | None = None
    diversity_weight: NotNegative = 0.2

    @property
    def is_twin(self) -> bool:
        """Whether the others in its place are compared with it."""
        return self.network == "dense" and self.hidden is None and self.dropout == 0

    @property
    def network(self) -> Literal["dense", "experts", "members"]:
        """What the points differ in."""
        if self.experts is not None:
            return "experts"
        return "dense" if self.members is None else "members"

    @model_validator(mode="after")
    def _top_k_fits(self) -> Self:
        if self.experts is None:
            idle = sorted(self.model_fields_set - {"place", "experts", *_OF_DENSE})
            if idle:
                raise ValueError(f"{idle[0]} says nothing about a dense point: give experts, or leave it out")
            if self.members is None and "diversity_weight" in self.model_fields_set:
                raise ValueError(
                    "diversity_weight says nothing about a point without members: give them, or leave it out"
                )
            if self.members is not None and (self.place == "block" or self.dropout > 0):
                raise ValueError("members are in the head, and have no dropout: leave out place and dropout")
        elif idle := sorted(self.model_fields_set & _OF_DENSE):
            raise ValueError(f"{idle[0]} is for dense points: leave it out, or leave out experts")
        elif self.top_k > self.experts:
            raise ValueError(f"top_k ({self.top_k}) must not exceed experts ({self.experts})")
        return self


POINTS = {
    "dense": Point(),
    "narrow": Point(hidden=36),
    "mc_dropout": Point(dropout=0.1),
    "top_1": Point(experts=8, top_k=1, temperature=0.25),
    "gumbel_top_2": Point(experts=8, top_k=2, gate="gumbel_top_k"),
}


class Sweep(Section):
    recipe: Recipe = Recipe()
    points: Annotated[dict[PointName, Point], Field(max_length=MOST_POINTS)] = POINTS

    @model_validator(mode="after")
    def _twins(self) -> Self:
        check_mixtures(len(self.points) - len(self.sparse), len(self.points))
        for place in ("head", "block"):
            inside = {name: point for name, point in self.points.items() if point.place == place}
            twins = [name for name, point in inside.items() if point.is_twin]
            others = [name for name in inside if name not in twins]
            check_twin(f"dense point in the {place} without hidden, dropout and members", len(twins), others)
        return self

    @property
    def sparse(self) -> list[str]:
        """The points with experts."""
        return [name for name, point in self.points.items() if point.experts is not None]

    def twin_of(self, name: str) -> str:
        """The dense point in the same place that the others are compared with; of this one, itself."""
        place = self.points[name].place
        return next(other for other, point in self.points.items() if point.is_twin and point.place == place)
