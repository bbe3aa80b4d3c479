"""Section `mole.evaluate`."""

from pipeline.params.section import Section, Text, Window


class Evaluate(Section):
    """How points are compared with baselines that need no training, and what is shown."""

    season: Window = 24
    example_channel: Text | None = None
