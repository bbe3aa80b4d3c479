"""Section `evaluate.spatial`: how placements and predicted expression are sampled and judged."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.section import Count, Device, NotNegative, Section, Whole


class EvaluateSpatial(Section):
    draws: Count
    steps: Annotated[int, Field(ge=10, le=1000)]
    sampler: Literal["ddim", "ddpm"]
    guidance: NotNegative
    neighbourhood: Annotated[int, Field(ge=2)]
    seed: Whole
    threads: Count
    device: Device
