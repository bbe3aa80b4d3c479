"""Section `ttnn`: what ttnn_benchmark measures of which forecasters."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.section import Count, Section

Counts = Annotated[list[Count], Field(min_length=1)]


class Ttnn(Section):
    points: Annotated[list[str], Field(min_length=1)]
    horizon: Count
    windows: Annotated[int, Field(ge=2)]
    batch_sizes: Counts
    compiled_batch_sizes: list[Count]
    experts: Counts
    experts_batch_size: Count
    data_types: Annotated[list[Literal["bfloat16", "bfloat8_b"]], Field(min_length=1)]
    memory: Literal["dram", "l1", "sharded"]
    trace: bool
    top_k: Count | None
    repeats: Annotated[int, Field(ge=5)]
    threads: Count

    @model_validator(mode="after")
    def _lists(self) -> Self:
        for name in ("points", "batch_sizes", "compiled_batch_sizes", "experts", "data_types"):
            given = getattr(self, name)
            if len(set(given)) < len(given):
                raise ValueError(f"{name} holds a value twice")
        if 1 not in self.experts:
            raise ValueError("experts must hold 1: what experts cost is told over one")
        return self
