"""Section `mole.ttnn`: what ttnn_benchmark measures of which forecasters."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.section import (
    MOST,
    MOST_POINTS,
    Count,
    Counts,
    Experts,
    PointName,
    Section,
    Threads,
    Window,
)

DataType = Literal["bfloat16", "bfloat8_b"]


class Ttnn(Section):
    points: Annotated[list[PointName], Field(min_length=1, max_length=MOST_POINTS)] = ["mole_dlinear", "mole_rlinear"]
    horizon: Window = 96
    windows: Annotated[int, Field(ge=2, le=MOST)] = 128
    batch_sizes: Counts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    compiled_batch_sizes: Annotated[list[Count], Field(max_length=MOST_POINTS)] = [256]
    experts: Annotated[list[Experts], Field(min_length=1, max_length=MOST_POINTS)] = [1, 2, 4, 8, 16]
    experts_batch_size: Count = 256
    data_types: Annotated[list[Literal["bfloat16", "bfloat8_b"]], Field(min_length=1, max_length=2)] = [
        "bfloat16",
        "bfloat8_b",
    ]
    memory: Literal["dram", "l1", "sharded"] = "dram"
    trace: bool = True
    top_k: Experts | None = None
    repeats: Annotated[int, Field(ge=5, le=10_000)] = 20
    threads: Threads = 1

    @model_validator(mode="after")
    def _lists(self) -> Self:
        for name in ("points", "batch_sizes", "compiled_batch_sizes", "experts", "data_types"):
            given = getattr(self, name)
            if len(set(given)) < len(given):
                raise ValueError(f"{name} holds a value twice")
        if 1 not in self.experts:
            raise ValueError("experts must hold 1: what experts cost is told over one")
        return self
