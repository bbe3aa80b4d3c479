"""Metrics and methods as data: what each is called, what it means, which way is better. One glossary per system.

Systems have glossaries of their own (`pipeline/<system>/glossary.py`) because one name means different things in them:
the MSE of a mean expression is not that of a forecast.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

Role = Literal["model", "baseline", "ceiling", "control"]  # in this order in tables


@dataclass(frozen=True)
class Metric:
    """A score. A name and a label with `{n}` in them stand for one metric per number: "pearson_change_top{n}".

    title: the label whatever the number is, which definitions go by; chance: what guessing scores.
    unbiased_distance: samples of one population score 0 on average, so differences below that of two halves of the
    truth are noise (see `pipeline.metrics.verdict`).
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
        """The label with its direction, as the header of a table."""
        return f"{self.label}\N{NO-BREAK SPACE}{self.arrow}"

    @property
    def direction(self) -> str:
        return "higher is better" if self.higher_is_better else "lower is better"

    def best(self, values: Iterable[float | None]) -> float | None:
        """None where nothing is defined."""
        return (max if self.higher_is_better else min)((value for value in values if value is not None), default=None)


@dataclass(frozen=True)
class Method:
    """A model, or what it is compared with."""

    name: str
    label: str
    role: Role
    definition: str = ""


@dataclass(frozen=True)
class Glossary:
    """The metrics of a system, and its methods as (name, label, definition). A score that it lacks is in no report."""

    metrics: Sequence[Metric]
    methods: Sequence[tuple[str, str, str]] = ()

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def metric(self, name: str) -> Metric:
        """The metric of this name, numbers filled in. KeyError where there is none."""
        found = self._find(name)
        if found is None:
            raise KeyError(f"metric {name!r} is not in the glossary")
        return found

    def method(self, name: str, role: Role) -> Method:
        """The method of this name; one that is not here, such as a user's point of a sweep, goes by its own name."""
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
