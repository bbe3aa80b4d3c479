"""The scores of all methods on all held-out groups: what every picture, table and sentence is computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import pandas as pd

from pipeline.metrics.ranking import mean_by_method
from pipeline.report.names import Method, Metric, Role, method_of, metric_of
from pipeline.report.scores import Comparison, Score, Standing, compare

Group = tuple[str, str]  # cell type, perturbation
COLUMNS = ("cell_type", "perturbation", "method", "role", "metric", "value")
_ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % interval, None where not defined."""

    value: Score = None
    low: Score = None
    high: Score = None


@dataclass(frozen=True)
class Scoreboard:
    """`methods` by role: the model, its baselines, then what does not compete. Groups and metrics as in the table."""

    methods: tuple[Method, ...]
    metrics: tuple[Metric, ...]
    groups: tuple[Group, ...]
    estimates: Mapping[tuple[Group, str, str], Estimate]  # by group, method and metric

    @property
    def model(self) -> Method:
        return self.methods[0]

    @property
    def baselines(self) -> list[Method]:
        return [method for method in self.methods if method.role == "baseline"]

    @property
    def decisive(self) -> list[Metric]:
        """The metrics that decide whether it worked: Pearson of change over most top genes, and E-distance.

        Correlation over all genes, most of which do not change, is mostly noise; and a mean is not a population.
        """
        tops = [metric for metric in self.metrics if metric.title == "Pearson top n"]
        correlation = max(tops, key=lambda metric: metric.genes or 0).name if tops else "pearson_change"
        wanted = (correlation, "e_distance")
        return [metric for name in wanted for metric in self.metrics if metric.name == name]

    @property
    def key(self) -> list[Metric]:
        """The decisive metrics and, where there are perturbations to tell apart, discrimination."""
        others = [metric for metric in self.metrics if metric.name == "discrimination" and self.defined(metric)]
        return [*self.decisive, *others]

    def estimate(self, group: Group, method: Method, metric: Metric) -> Estimate:
        return self.estimates.get((group, method.name, metric.name), Estimate())

    def values(self, method: Method, metric: Metric) -> list[float]:
        """The defined scores of a method, one per group."""
        found = (self.estimate(group, method, metric).value for group in self.groups)
        return [value for value in found if value is not None]

    def defined(self, metric: Metric) -> bool:
        """Whether the model has a score in any group."""
        return bool(self.values(self.model, metric))

    def of_group(self, group: Group, metric: Metric) -> dict[Method, Score]:
        return {method: self.estimate(group, method, metric).value for method in self.methods}

    def means(self, metric: Metric) -> dict[Method, Score]:
        """Means over the groups where a method has a score."""
        rows = [
            (method.name, {metric.name: self.estimate(group, method, metric).value})
            for method in self.methods
            for group in self.groups
        ]
        means = mean_by_method(rows)
        return {method: means[method.name][metric.name] for method in self.methods}

    def comparison(self, metric: Metric) -> Comparison:
        """The model's mean beside that of its best baseline."""
        return compare(metric, self.means(metric))

    def standings(self, metric: Metric) -> dict[Group, Standing]:
        """Where the model stands in each group, beside the baseline that is best there."""
        return {group: compare(metric, self.of_group(group, metric)).standing for group in self.groups}


def group_name(group: Group) -> str:
    return f"{group[1]} in {group[0]}"


def scoreboard(table: pd.DataFrame) -> Scoreboard:
    """`table` has `COLUMNS`, and low and high where intervals are known: a row per group, method and metric.

    ValueError where a role is unknown, a score stands there twice, or there is not exactly one model and any baseline.
    """
    roles: dict[str, Role] = {}
    for name, role in table[["method", "role"]].drop_duplicates().itertuples(index=False):
        if role not in _ROLES:
            raise ValueError(f"role {role!r} of method {name}; a role is one of {', '.join(_ROLES)}")
        if name in roles:
            raise ValueError(f"method {name} has two roles, {roles[name]} and {role}")
        roles[name] = role
    methods = sorted((method_of(*entry) for entry in roles.items()), key=lambda method: _ROLES.index(method.role))
    counted = [sum(method.role == role for method in methods) for role in ("model", "baseline")]
    if counted[0] != 1 or not counted[1]:
        raise ValueError(f"holds {counted[0]} models and {counted[1]} baselines: one model and any baseline are needed")
    return Scoreboard(
        tuple(methods),
        tuple(metric_of(name) for name in table["metric"].unique()),
        tuple(table[["cell_type", "perturbation"]].drop_duplicates().itertuples(index=False, name=None)),
        _estimates(table),
    )


def _estimates(table: pd.DataFrame) -> dict[tuple[Group, str, str], Estimate]:
    keys = table[["cell_type", "perturbation", "method", "metric"]]
    if keys.duplicated().any():
        raise ValueError(f"holds two scores of {', '.join(keys[keys.duplicated()].iloc[0])}")
    bounds = table.reindex(columns=["value", "low", "high"])
    rows: Sequence[Sequence[float]] = bounds.to_numpy(dtype=float).tolist()
    return {
        ((cell_type, perturbation), method, metric): Estimate(*(None if value != value else value for value in row))
        for (cell_type, perturbation, method, metric), row in zip(
            keys.itertuples(index=False, name=None), rows, strict=True
        )
    }
