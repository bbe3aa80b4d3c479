"""Section `report`."""

from typing import Annotated

from pydantic import Field

from pipeline.params.section import MOST_POINTS, PointName, Section, Text


class Report(Section):
    title: Text = "Celldag report"
    studies: Annotated[list[PointName], Field(min_length=1, max_length=MOST_POINTS)] | None = None  # None: all
