"""Section `evaluate.perturbation`: how predictions are judged."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.section import Count, Device, NotNegative, Section, Whole, Widths


class EvaluatePerturbation(Section):
    solver: Literal["euler", "midpoint", "rk4"]
    steps: Count
    guidance: NotNegative
    cells_per_group: Annotated[int, Field(ge=2)]
    top_genes: Widths
    principal_components: Count
    bootstrap_replicates: Whole
    seed: Whole
    threads: Count
    device: Device
