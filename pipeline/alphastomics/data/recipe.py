"""The recipe of simulated sections of tissue: a small YAML file, validated."""

import math
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.params.reading import read_yaml, validated
from pipeline.params.section import (
    MOST,
    MOST_STEPS,
    LogSpread,
    NotNegative,
    Positive,
    Section,
    Seed,
    Share,
    Text,
)

MOST_GENES = 100_000
LARGEST_SPREAD = 2.0  # typical deviations by which a section's number of cells may differ from the typical one
MOST_COUNTS = 2**31  # cells times genes of a section, drawn at once: 16 GB


class Gradient(Section):
    """Genes that follow a smooth field over the tissue."""

    genes: Annotated[int, Field(ge=0, le=MOST_GENES)]
    log_fold_change: LogSpread  # typical, where the field is 1 (from -1 to 1)


class TissueRecipe(Section):
    """data/embedded/tissue.yaml, where each key is explained."""

    sections: Annotated[int, Field(ge=1, le=MOST_STEPS)]
    cells_per_section: Annotated[int, Field(ge=2, le=MOST)]
    cells_spread: LogSpread = 0.0  # standard deviation of the log of a section's number of cells, around that
    dimensions: Annotated[int, Field(ge=2, le=3)]
    genes: Annotated[int, Field(ge=1, le=MOST_GENES)]
    cell_types: Annotated[list[Text], Field(min_length=1, max_length=MOST_STEPS)]
    domains: Annotated[int, Field(ge=1, le=MOST_STEPS)]
    purity: Share
    extent: Positive
    width: Positive
    curvature: NotNegative
    outline: Annotated[float, Field(ge=0, le=0.2)]
    offset: NotNegative
    scale_spread: LogSpread
    rotated: bool = False
    markers_per_type: Annotated[int, Field(ge=0, le=MOST_GENES)]
    marker_log_fold_change: LogSpread
    depth: Gradient
    lateral: Gradient
    patches: Gradient
    patch_size: Positive
    counts_per_cell: Positive
    counts_spread: LogSpread
    inverse_dispersion: Positive
    batch_effect: LogSpread
    seed: Seed

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.largest_section * self.genes > MOST_COUNTS:
            raise ValueError(
                f"a section's cells ({self.largest_section:,} at most) times genes ({self.genes:,}) must not exceed "
                f"{MOST_COUNTS:,}: the counts of a section are drawn at once"
            )
        if len(set(self.cell_types)) < len(self.cell_types):
            raise ValueError("cell_types must have different names")
        if self.structured_genes > self.genes:
            raise ValueError(
                f"genes = {self.genes} is fewer than the {self.structured_genes} that markers_per_type x cell types, "
                "depth, lateral and patches ask for"
            )
        return self

    @property
    def largest_section(self) -> int:
        """Cells of a section, at most."""
        return math.ceil(self.cells_per_section * math.exp(LARGEST_SPREAD * self.cells_spread))

    @property
    def structured_genes(self) -> int:
        """Genes that depend on cell type or position; the others do not vary in the tissue."""
        gradients = self.depth.genes + self.lateral.genes + self.patches.genes
        return self.markers_per_type * len(self.cell_types) + gradients


def read_recipe(path: Path) -> TissueRecipe:
    """The validated recipe; ExpectedError where the file is missing, malformed or out of range."""
    return validated(TissueRecipe, read_yaml(path), str(path))
