"""What every section of params.yaml is made of: its base class and the kinds of numbers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Widths = Annotated[list[Count], Field(min_length=1)]
Device = Literal["cpu", "cuda", "auto"]
PointName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]  # of a sweep; also that of a stage and of files


class Section(BaseModel):
    """Base of every section: unknown keys are refused, and no value is silently converted to another kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
