"""Section `mole.ingest`: where the time series is, and how its file is laid out."""

from typing import Literal

from pipeline.params.section import FilePath, Name, Section, Text


class Ingest(Section):
    path: FilePath
    date: Name = "date"
    separator: Text | None = None
    decimal: Literal[".", ","] | None = None
    date_format: Text | None = None
    layout: Literal["etth", "ettm", "weather", "electricity", "traffic"] | None = None
