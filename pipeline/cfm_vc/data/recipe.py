"""The recipe of simulated perturbation data: a small, validated YAML file."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.data.doses import label_of
from pipeline.params.reading import read_yaml, validated
from pipeline.params.section import (
    LONGEST_LIST,
    MOST_POINTS,
    Count,
    LogFoldChange,
    LogSpread,
    Name,
    Positive,
    Section,
    Seed,
    Share,
    Text,
)

SEPARATOR = "+"  # between the treatments in the label of a combination


class Effect(Section):
    """One simulated perturbation."""

    share: Annotated[float, Field(gt=0, le=1)]
    log_fold_change: LogFoldChange
    cell_type_specific: Share
    # None: a single dose, with the full effect.
    doses: list[Positive] = Field(default_factory=list, max_length=MOST_POINTS)
    half_effect: Positive = 1.0  # dose at half of the full effect (EC50)

    def reached(self, dose: float) -> float:
        """Fraction of the full effect at a dose."""
        return dose / (dose + self.half_effect) if self.doses else 1.0


class Space(Section):
    """Spatial coordinates, uniform over a square or cube, and their effect on expression."""

    dimensions: Annotated[int, Field(ge=2, le=3)] = 2
    share: Annotated[float, Field(gt=0, le=1)]  # of genes with a gradient along the first axis
    log_fold_change: LogFoldChange  # of these genes, from the centre to the edge
    response: Share = 0.0  # relative increase of a perturbation effect from the centre to the edge


class Recipe(Section):
    """A recipe such as data/embedded/perturbation.yaml, which explains the common keys.

    Further keys: combinations of
    perturbations, the standard deviation of the log fold change of their interaction (on genes that either changes),
    and spatial coordinates.
    """

    cells: Count
    min_template_cells: Count
    inverse_dispersion: Positive
    batches: Annotated[list[Text], Field(min_length=1, max_length=LONGEST_LIST)]
    batch_effect: LogSpread
    control: Text
    opposite_share: Share
    perturbations: Annotated[dict[Name, Effect], Field(min_length=1, max_length=LONGEST_LIST)]
    combinations: list[Annotated[list[Text], Field(min_length=2, max_length=MOST_POINTS)]] = Field(
        default_factory=list, max_length=LONGEST_LIST
    )
    interaction: LogSpread = 0.0
    spatial: Space | None = None
    seed: Seed

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.control in self.perturbations:
            raise ValueError(f"the control {self.control!r} must not be among the perturbations")
        if len(set(self.batches)) < len(self.batches):
            raise ValueError("batches must have different names")
        for treatments in self.combinations:
            if len(set(treatments)) < len(treatments) or not set(treatments) <= set(self.perturbations):
                raise ValueError(f"the combination {treatments} must be of different perturbations of this recipe")
            if not self._common_doses(treatments):
                raise ValueError(f"the combination {treatments} must be of perturbations that share a dose")
        return self

    @property
    def dosed(self) -> bool:
        """Whether labels contain a dose; a perturbation without doses then has dose 1."""
        return any(effect.doses for effect in self.perturbations.values())

    def labels(self) -> dict[str, dict[str, float]]:
        """{label: {treatment: dose}} of all perturbations and combinations, sorted, with the control."""
        doses = [
            dict.fromkeys(sorted(treatments), dose)
            for treatments in [*([name] for name in self.perturbations), *self.combinations]
            for dose in self._common_doses(treatments)
        ]
        labels = {label_of(each, SEPARATOR, self.control, self.dosed): each for each in [{}, *doses]}
        return dict(sorted(labels.items()))

    def _common_doses(self, treatments: list[str]) -> list[float]:
        every = [set(self.perturbations[name].doses or [1.0]) for name in treatments]
        return sorted(set.intersection(*every))


def read_recipe(path: Path) -> Recipe:
    """The validated recipe; ExpectedError where the file is missing, malformed or out of range."""
    return validated(Recipe, read_yaml(path), str(path))
