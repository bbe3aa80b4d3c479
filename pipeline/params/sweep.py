"""What the sections of sweeps share: points, each trained once per seed, and mixtures beside their dense twins."""

from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from pipeline.params.optimisation import Optimisation
from pipeline.params.section import Section

R = TypeVar("R", bound=Optimisation)
P = TypeVar("P", bound=Section)


class Training(Section, Generic[R, P]):
    """What one training of a point depends on besides its data; the key of its checkpoints."""

    recipe: R
    point: P

    @classmethod
    def of(cls, recipe: R, point: P, seed: int, **more: int) -> Self:
        """The recipe with this seed and with the point's own values; more: what a sweep adds (`horizon`)."""
        own = {name: value for name, value in point if name in type(recipe).model_fields and value is not None}
        return cls(recipe=recipe.model_copy(update=own | {"seed": seed}), point=point, **more)


def check_twin(twin: str, found: int, mixtures: Sequence[str]) -> None:
    """ValueError unless there is exactly one such point, the dense twin that the mixtures are compared with."""
    if mixtures and found != 1:
        raise ValueError(f"points need exactly one {twin} to compare {', '.join(mixtures)} with, found {found}")


def check_mixtures(dense: int, points: int) -> None:
    """ValueError where all points are dense."""
    if dense == points:
        raise ValueError("points holds no point with experts: there is nothing to compare")
