"""Section `alphastomics.evaluate`: how positions and expression are sampled."""

from typing import Literal

from pipeline.params.section import Device, Draws, Guidance, Neighbourhood, SamplerSteps, Section, Seed, Threads


class Evaluate(Section):
    draws: Draws = 4
    steps: SamplerSteps = 20
    sampler: Literal["ddim", "ddpm"] = "ddim"
    guidance: Guidance = 1.0
    neighbourhood: Neighbourhood = 1024
    seed: Seed = 0
    threads: Threads = 1
    device: Device = "cpu"
