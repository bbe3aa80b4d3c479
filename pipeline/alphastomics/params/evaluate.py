"""Section `alphastomics.evaluate`: how positions and expression are sampled."""

from typing import Literal

from pipeline.params.section import Device, Draws, Guidance, Neighbourhood, SamplerSteps, Section, Seed, Threads


class Evaluate(Section):
    draws: Draws
    steps: SamplerSteps
    sampler: Literal["ddim", "ddpm"]
    guidance: Guidance
    neighbourhood: Neighbourhood
    seed: Seed
    threads: Threads
    device: Device
