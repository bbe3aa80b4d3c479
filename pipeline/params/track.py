"""Section `track`."""

from pipeline.params.section import Section, Text


class Track(Section):
    experiment: Text = "celldag"
