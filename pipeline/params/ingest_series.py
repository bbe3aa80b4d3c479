"""Section `ingest.series`: where the time series is, and how its file is laid out."""

from typing import Literal

from pipeline.params.section import FilePath, Name, Section


class IngestSeries(Section):
    path: FilePath
    date: Name = "date"
    layout: Literal["etth", "ettm", "weather", "electricity", "traffic"] | None = None
