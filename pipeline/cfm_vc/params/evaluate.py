"""Section `cfm_vc.evaluate`: how predictions are evaluated."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.section import MOST, Counts, Device, Guidance, Resamples, Section, Seed, Steps, Threads, Width


class Evaluate(Section):
    solver: Literal["euler", "midpoint", "rk4"]
    steps: Steps
    guidance: Guidance
    cells_per_group: Annotated[int, Field(ge=2, le=MOST)]
    top_genes: Counts
    principal_components: Width
    bootstrap_replicates: Resamples
    seed: Seed
    threads: Threads
    device: Device
