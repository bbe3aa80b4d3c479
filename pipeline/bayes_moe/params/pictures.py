"""What the sections of all sources of pictures share."""

from typing import Annotated

from pydantic import Field

from pipeline.params.section import FilePath, Md5, Section


class Pictures(Section):
    path: FilePath
    size: Annotated[int, Field(ge=4, le=512)]
    white_level: Annotated[float, Field(gt=0, le=2**32 - 1)] | None = None
    md5: Md5 | None = None
