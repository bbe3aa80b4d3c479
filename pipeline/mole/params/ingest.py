"""Section `mole.ingest`: where the time series is, and how its file is laid out."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.section import MOST_POINTS, FilePath, Name, Section, Text

Columns = Annotated[list[Name], Field(max_length=MOST_POINTS)]


class Ingest(Section):
    path: FilePath
    date: Name = "date"
    separator: Text | None = None
    decimal: Literal[".", ","] | None = None
    date_format: Text | None = None
    layout: Literal["etth", "ettm", "weather", "electricity", "traffic"] | None = None
    known: Columns = []
    static: Columns = []

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        if twice := named_twice(self.date, self.known, self.static):
            raise ValueError(twice)
        return self


def named_twice(date: str, known: Sequence[str], static: Sequence[str]) -> str | None:
    """A sentence about a column that has two roles, or one role twice, where there is one."""
    named = [date, *known, *static]
    twice = [name for name in named if named.count(name) > 1]
    return f"{twice[0]!r} is named twice among date, known and static: a column is one of them" if twice else None
