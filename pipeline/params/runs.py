"""The runs of a study, as the plan lists them."""

from pipeline.params.section import PointName, Section, Seed


class Runs(Section):
    folds: dict[PointName, list[Seed]]  # the seeds of each fold
