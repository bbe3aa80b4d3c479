"""Metrics and methods as data: label, definition and direction. One glossary per system.

Each system has its own (`pipeline/<system>/glossary.py`) because the same name can differ in meaning: the MSE of mean
expression is not that of a forecast.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

Role = Literal["model", "baseline", "ceiling", "control"]  # in this order in tables


@dataclass(frozen=True)
class Metric:
    """A score. `{n}` in name and label stands for a number: "pearson_change_top{n}".

    title: the label for any number, as in the definitions; chance: the score of a random guess. unbiased_distance: two
    samples of one population score 0 on average, so differences below the split-half score are noise (see
    `pipeline.metrics.verdict`). best_value: where neither the highest nor the lowest score is best; scores are then
    judged by their distance to it, of which lower is better, so `higher_is_better` is false.
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
    best_value: float | None = None

    @property
    def arrow(self) -> str:
        if self.best_value is not None:
            return f"→\N{NO-BREAK SPACE}{self.best_value:g}"
        return "↑" if self.higher_is_better else "↓"

    @property
    def heading(self) -> str:
        """The label with its direction, for table headers."""
        return f"{self.label}\N{NO-BREAK SPACE}{self.arrow}"

    @property
    def direction(self) -> str:
        if self.best_value is not None:
            return f"nearer to {self.best_value:g} is better"
        return "higher is better" if self.higher_is_better else "lower is better"

    @property
    def perfect(self) -> float:
        """The best possible score."""
        return self.bounds[1 if self.higher_is_better else 0] if self.best_value is None else self.best_value

    def loss(self, value: float) -> float:
        """What orders scores, the smaller the better."""
        if self.best_value is not None:
            return abs(value - self.best_value)
        return -value if self.higher_is_better else value

    def best(self, values: Iterable[float | None]) -> float | None:
        """None where nothing is defined."""
        return min((value for value in values if value is not None), key=self.loss, default=None)

    def difference(self, ours: Any, theirs: Any) -> Any:
        """Ours minus theirs, of numbers or arrays; where there is a best value, of their distances to it."""
        if self.best_value is None:
            return ours - theirs
        return abs(ours - self.best_value) - abs(theirs - self.best_value)


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
