"""What the sections of all training stages share."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.section import (
    MOST_PROCESSES,
    Count,
    Device,
    LearningRate,
    NotNegative,
    Positive,
    Section,
    Seed,
    Threads,
    Whole,
)

Precision = Literal["float32", "bfloat16"]


class Optimisation(Section):
    """Parameters of the training loop.

    `processes` and `precision` are written down only where they are not the default: what is known of a training then
    reads as it did before there was a choice.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    learning_rate: LearningRate
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: Whole = 0
    weight_decay: NotNegative
    gradient_clip: Positive
    batch_size: Count
    epochs: Count
    patience: Count
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seed: Seed = 0
    threads: Threads = 1
    processes: Annotated[int, Field(ge=1, le=MOST_PROCESSES, exclude_if=lambda value: value == 1)] = 1
    device: Device = "cpu"
    precision: Annotated[Precision, Field(exclude_if=lambda value: value == "float32")] = "float32"

    @property
    def threads_in_all(self) -> int:
        """Of all processes together."""
        return self.threads * self.processes

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if self.warmup_epochs and self.schedule == "constant":
            raise ValueError("warmup_epochs needs schedule: cosine")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must be fewer than epochs ({self.epochs})")
        return self
