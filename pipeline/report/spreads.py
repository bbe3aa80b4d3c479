"""Scores over seeds: measure, mean and standard deviation, and their table cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from pipeline.report.page import Cell
from pipeline.report.scores import shown


@dataclass(frozen=True)
class Measure:
    """A score of a classifier."""

    name: str
    label: str
    higher_is_better: bool

    @property
    def arrow(self) -> str:
        return "↑" if self.higher_is_better else "↓"

    @property
    def heading(self) -> str:
        return f"{self.label}\N{NO-BREAK SPACE}{self.arrow}"

    def best(self, values: Sequence[float | None]) -> float | None:
        """None where nothing is defined."""
        defined = [value for value in values if value is not None and math.isfinite(value)]
        return (max if self.higher_is_better else min)(defined, default=None)


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds (None for a single seed); the mean is None if undefined."""

    mean: float | None
    deviation: float | None


def spread(values: tuple[float, ...]) -> Spread:
    """The spread of one value per seed."""
    return Spread(fmean(values) if values else None, stdev(values) if len(values) > 1 else None)


def spread_cell(found: Spread, decimals: int, best: float | None = None, quiet: bool = False) -> Cell:
    """A mean with the standard deviation over seeds below it."""
    remark = "" if found.deviation is None else f"± {shown(found.deviation, decimals)}"
    return Cell(shown(found.mean, decimals), best=best is not None and found.mean == best, remark=remark, quiet=quiet)
