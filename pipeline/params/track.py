"""Section `track`."""

from pipeline.params.section import Section


class Track(Section):
    experiment: str
