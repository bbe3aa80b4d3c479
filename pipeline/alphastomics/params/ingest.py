"""Section `alphastomics.ingest`: the files with sections of tissue, and the names of their fields."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from pipeline.params.obs_column import ObsColumn
from pipeline.params.section import CountsPlace, FilePaths, Name, Section, Text


class IngestFile(Section):
    """How one file is read. Of several, each depends on this alone, so that one more file has no other read again."""

    counts: CountsPlace = "auto"
    section: ObsColumn | None = None
    cell_type: ObsColumn | None = None
    same_place: Literal["refuse", "first"] = "refuse"
    spatial: Annotated[
        Annotated[Name, Tag("(plain)")] | Annotated[list[Text], Field(min_length=2, max_length=3), Tag("(list)")],
        Discriminator(lambda value: "(list)" if isinstance(value, list) else "(plain)"),
    ] = "spatial"

    @field_validator("spatial")
    @classmethod
    def _different_columns(cls, spatial: str | list[str]) -> str | list[str]:
        if not isinstance(spatial, str) and len(set(spatial)) < len(spatial):
            raise ValueError("must name different obs columns")
        return spatial


class Ingest(IngestFile):
    path: FilePaths
