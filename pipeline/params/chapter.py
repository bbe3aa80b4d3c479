"""What the chapter of a study is told about the study."""

from pipeline.params.section import PointName, Section, Seed, Text


class Chapter(Section):
    title: Text | None = None
    folds: dict[PointName, list[Seed]] = {}  # with the seeds of each; none where a sweep is trained
    evaluated: bool = True  # whether there is something held out
    inference: bool = False
