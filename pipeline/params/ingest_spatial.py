"""Section `ingest.spatial`: where the sections of tissue are and what is called how in their files."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipeline.params.obs_column import ObsColumn
from pipeline.params.section import Section


class IngestSpatial(Section):
    path: str
    counts: Annotated[str, Field(pattern=r"^(X|raw/X|layers/.+)$")]
    section: ObsColumn | None = None
    cell_type: ObsColumn | None = None
    same_place: Literal["refuse", "first"] = "refuse"
    spatial: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=2, max_length=3)]

    @field_validator("spatial")
    @classmethod
    def _different_columns(cls, spatial: str | list[str]) -> str | list[str]:
        if not isinstance(spatial, str) and len(set(spatial)) < len(spatial):
            raise ValueError("must name different obs columns")
        return spatial
