"""What the chapter of a study is told about the study."""

from typing import Any

from pipeline.params.section import PointName, Section, Seed, Text


class Chapter(Section):
    title: Text | None = None
    folds: dict[PointName, list[Seed]] = {}  # with the seeds of each; none where a sweep is trained
    evaluated: bool = True  # whether there is something held out
    inference: bool = False
    path: str | list[str] | None = None  # of its data
    held_out: Any = None  # as in params.yaml
    seeds: list[Seed] = []
    own: dict[str, Any] = {}  # settings that are not those of its system, by dotted key
