"""Section `cfm_vc.evaluate`: how predictions are evaluated."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.section import MOST, Counts, Device, Guidance, Resamples, Section, Seed, Steps, Threads, Width

MOST_MEMBERS = 100


class Evaluate(Section):
    members: Annotated[int, Field(ge=1, le=MOST_MEMBERS)] = 1
    solver: Literal["euler", "midpoint", "rk4"] = "euler"
    steps: Steps = 20
    guidance: Guidance = 1.0
    cells_per_group: Annotated[int, Field(ge=2, le=MOST)] = 500
    top_genes: Counts = [20, 50, 100]
    principal_components: Width = 20
    bootstrap_replicates: Resamples = 200
    seed: Seed = 0
    threads: Threads = 1
    device: Device = "cpu"
