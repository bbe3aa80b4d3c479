"""Section `ingest.series`: where the time series is, and how its file is laid out."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.section import Section


class IngestSeries(Section):
    path: str
    date: Annotated[str, Field(min_length=1)] = "date"
    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    date_format: str | None = None
    layout: Literal["etth", "ettm", "weather", "electricity", "traffic"] | None = None
