"""Section `report`."""

from pipeline.params.section import Section


class Report(Section):
    title: str
