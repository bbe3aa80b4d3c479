"""Section `report`."""

from pipeline.params.section import Section, Text


class Report(Section):
    title: Text
