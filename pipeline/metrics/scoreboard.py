"""Scores of all methods in one study of a system: the source of every figure, table and sentence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import cast, get_args

from pipeline.core.errors import ExpectedError
from pipeline.metrics.glossary import Glossary, Method, Metric, Role
from pipeline.metrics.results import ALL, Row, difference_name

_ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Estimate:
    """A score, its 95 % interval and its standard deviation over seeds; None if undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    deviation: float | None = None


@dataclass(frozen=True)
class Scoreboard:
    """`methods` ordered by role: models, baselines, ceilings and controls; `metrics` of the glossary, in the order of
    the table; `units` in the order of the table, without "all"; `seeds` ascending."""

    methods: tuple[Method, ...]
    metrics: tuple[Metric, ...]
    units: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: Mapping[tuple[str, str, str], tuple[Row, ...]]  # by unit, method and metric: one row, or one per seed

    @property
    def model(self) -> Method:
        """ValueError unless there is exactly one."""
        (model,) = self.models
        return model

    @property
    def models(self) -> list[Method]:
        return [method for method in self.methods if method.role == "model"]

    @property
    def baselines(self) -> list[Method]:
        return [method for method in self.methods if method.role == "baseline"]

    @property
    def competing(self) -> list[Method]:
        return [*self.models, *self.baselines]

    def metric(self, name: str) -> Metric:
        """KeyError if the table has no such metric."""
        return {metric.name: metric for metric in self.metrics}[name]

    def method(self, name: str) -> Method:
        """KeyError if the table has no such method."""
        return {method.name: method for method in self.methods}[name]

    def estimate(self, method: Method, metric: Metric, unit: str = ALL) -> Estimate:
        """The row without a seed, or the mean over seeds; the deviation is over seeds."""
        return self._estimate(method.name, metric, unit)

    def difference(self, model: Method, baseline: Method, metric: Metric, unit: str = ALL) -> Estimate | None:
        """The model minus the baseline, None if the table has no such row."""
        name = difference_name(model.name, baseline.name)
        return self._estimate(name, metric, unit) if (unit, name, metric.name) in self.rows else None

    def points(self, method: Method, metric: Metric, unit: str = ALL) -> list[float]:
        """Defined scores of a unit, or of all units, and of all seeds, without means."""
        units = self.units if unit == ALL else (unit,)
        found = (row for one in units for row in self.rows.get((one, method.name, metric.name), ()))
        return [row.value for row in found if row.value is not None]

    def loss(self, method: Method, metric: Metric, unit: str = ALL) -> float | None:
        """What orders methods, the smaller the better; None if undefined.

        Where there is a best value it is the mean distance to it: scores on either side do not make up for each other,
        as they would in their mean.
        """
        if metric.best_value is not None:
            points = self.points(method, metric, unit)
            return fmean(map(metric.loss, points)) if points else None
        value = self.estimate(method, metric, unit).value
        return None if value is None else metric.loss(value)

    def defined(self, metric: Metric) -> bool:
        """Whether any model has a score in any unit."""
        return any(self.points(model, metric) for model in self.models)

    @property
    def telling(self) -> list[Metric]:
        """Metrics that tell methods apart: in which a model or a baseline has a score, and not all have the best
        possible one in every unit."""
        return [metric for metric in self.metrics if self._tells(metric)]

    def scored(self, metric: Metric) -> bool:
        """Whether a model or a baseline has a score in any unit, or over all."""
        return any(self._values(method, metric) for method in self.competing)

    def contested(self, metric: Metric) -> bool:
        """Whether a model and a baseline have a score in any unit."""
        return self.defined(metric) and any(self.points(baseline, metric) for baseline in self.baselines)

    def _tells(self, metric: Metric) -> bool:
        return self.scored(metric) and any(self._values(one, metric) != {metric.perfect} for one in self.competing)

    def _values(self, method: Method, metric: Metric) -> set[float]:
        found = (row for unit in (*self.units, ALL) for row in self.rows.get((unit, method.name, metric.name), ()))
        return {row.value for row in found if row.value is not None}

    def best(self, metric: Metric, unit: str = ALL, among: Sequence[Method] | None = None) -> list[Method]:
        """The best-scoring of these methods, or of models and baselines: several if tied, none if undefined."""
        losses = {method: self.loss(method, metric, unit) for method in (self.competing if among is None else among)}
        least = min((loss for loss in losses.values() if loss is not None), default=None)
        return [method for method, loss in losses.items() if loss is not None and loss == least]

    def _estimate(self, method: str, metric: Metric, unit: str) -> Estimate:
        rows = self.rows.get((unit, method, metric.name), ())
        values = [row.value for row in rows if row.seed is not None and row.value is not None]
        deviation = stdev(values) if len(values) > 1 else None
        for row in rows:
            if row.seed is None or len(rows) == 1:
                return Estimate(row.value, row.low, row.high, deviation)
        return Estimate(fmean(values) if values else None, deviation=deviation)


def scoreboard(rows: Iterable[Row], glossary: Glossary) -> Scoreboard:
    """The scoreboard of one study, from rows that pass `pipeline.metrics.results.check`.

    ExpectedError if there is no model or no baseline.
    """
    rows = list(rows)
    roles = {row.method: cast("Role", row.role) for row in rows if row.role != "difference"}
    methods = sorted((glossary.method(*entry) for entry in roles.items()), key=lambda m: _ROLES.index(m.role))
    models, baselines = (sum(method.role == role for method in methods) for role in ("model", "baseline"))
    if not models or not baselines:
        raise ExpectedError(f"holds {models} models and {baselines} baselines; at least one of each is needed")
    names = dict.fromkeys(row.metric for row in rows)
    by_key: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        by_key.setdefault((row.unit, row.method, row.metric), []).append(row)
    return Scoreboard(
        tuple(methods),
        tuple(glossary.metric(name) for name in names if name in glossary),
        tuple(dict.fromkeys(row.unit for row in rows if row.unit != ALL)),
        tuple(sorted({row.seed for row in rows if row.seed is not None})),
        {key: tuple(found) for key, found in by_key.items()},
    )
