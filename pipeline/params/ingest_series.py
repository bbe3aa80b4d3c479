"""Section `ingest.series`: where the time series is, and how its file is laid out."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.section import LONGEST_TEXT, FilePath, Name, Section


class IngestSeries(Section):
    path: FilePath
    date: Name = "date"
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    decimal: Literal[".", ","] | None = None
    date_format: Annotated[str, Field(pattern="%[dmyYjbB]", max_length=LONGEST_TEXT)] | None = None
    layout: Literal["etth", "ettm", "weather", "electricity", "traffic"] | None = None
