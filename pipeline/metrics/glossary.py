"""Metrics and methods as data: label, definition and direction. One glossary per system.

Each system has its own (`pipeline/<system>/glossary.py`) because the same name can differ in meaning: the MSE of mean
expression is not that of a forecast.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

Role = Literal["model", "baseline", "ceiling", "control"]  # in this order in tables


@dataclass(frozen=True)
class Metric:
    """A score. `{n}` in name and label stands for a number: "pearson_change_top{n}".

    title: the label for any number, as in the definitions; chance: the score of a random guess. unbiased_distance: two
    samples of one population score 0 on average, so differences below the split-half score are noise (see
    `pipeline.metrics.verdict`).
    """

    name: str
    label: str
    higher_is_better: bool
    definition: str = ""
    unit: str = ""
    bounds: tuple[float, float] = (-inf, inf)
    chance: float | None = None
    unbiased_distance: bool = False
    number: int | None = None
    title: str = ""

    @property
    def arrow(self) -> str:
        return "↑" if self.higher_is_better else "↓"

    @property
    def heading(self) -> str:
        """The label with its direction, for table headers."""
        return f"{self.label}\N{NO-BREAK SPACE}{self.arrow}"

    @property
    def direction(self) -> str:
        return "higher is better" if self.higher_is_better else "lower is better"

    def best(self, values: Iterable[float | None]) -> float | None:
        """None where nothing is defined."""
        return (max if self.higher_is_better else min)((value for value in values if value is not None), default=None)


@dataclass(frozen=True)
class Method:
    """A model, baseline, ceiling or control."""

    name: str
    label: str
    role: Role
    definition: str = ""


@dataclass(frozen=True)
class Glossary:
    """The metrics of a system, and its methods as (name, label, definition). Other scores are not reported."""

    metrics: Sequence[Metric]
    methods: Sequence[tuple[str, str, str]] = ()

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def metric(self, name: str) -> Metric:
        """The metric of this name, with its number filled in. KeyError if there is none."""
        found = self._find(name)
        if found is None:
            raise KeyError(f"metric {name!r} is not in the glossary")
        return found

    def method(self, name: str, role: Role) -> Method:
        """The method of this name; unknown ones, such as a user's point of a sweep, keep their name as label."""
        entries = {entry[0]: entry for entry in self.methods}
        _, label, definition = entries.get(name, (name, name.replace("_", " "), ""))
        return Method(name, label, role, definition)

    def _find(self, name: str) -> Metric | None:
        for metric in self.metrics:
            match = re.fullmatch(re.escape(metric.name).replace(r"\{n\}", r"(\d+)"), name)
            if match:
                number = match[1] if match.groups() else "n"
                label, title = (metric.label.format(n=n) for n in (number, "n"))
                value = int(number) if match.groups() else None
                return replace(metric, name=name, label=label, title=metric.title or title, number=value)
        return None
