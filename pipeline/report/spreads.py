"""Scores over seeds: measure, mean and standard deviation, and their table cell."""

from dataclasses import dataclass
from statistics import fmean, stdev

from pipeline.report.page import Cell
from pipeline.report.scores import shown


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds (None for a single seed); the mean is None if undefined."""

    mean: float | None
    deviation: float | None


def spread(values: tuple[float, ...]) -> Spread:
    """The spread of one value per seed."""
    return Spread(fmean(values) if values else None, stdev(values) if len(values) > 1 else None)


def spread_cell(found: Spread, decimals: int, best: float | None = None) -> Cell:
    """A mean with the standard deviation over seeds below it, where they differ: those of a closed form do not."""
    remark = f"± {shown(found.deviation, decimals)}" if found.deviation else ""
    return Cell(shown(found.mean, decimals), best=best is not None and found.mean == best, remark=remark)
