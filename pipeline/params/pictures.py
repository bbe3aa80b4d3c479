"""What the sections of all sources of pictures share."""

from typing import Annotated

from pydantic import Field

from pipeline.params.section import Section


class Pictures(Section):
    path: Annotated[str, Field(min_length=1)]
    size: Annotated[int, Field(ge=4, le=512)]
    white_level: Annotated[float, Field(gt=0, le=2**32 - 1)] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
