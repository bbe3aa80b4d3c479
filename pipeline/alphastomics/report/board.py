"""The scores of all methods on all sections and seeds: what every picture, table and sentence on tissue says."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

import pandas as pd

from pipeline.alphastomics.report.names import DECISIVE, KEY, method_named, metric_named, metrics_of
from pipeline.metrics.glossary import Method, Metric
from pipeline.metrics.verdict import Comparison, Standing

Score = float | None

LEVEL_CORRELATION = 0.01  # absolute
LEVEL_ERROR = 0.02  # relative to the larger of the two
LEVEL_SHARE = 0.05  # of the larger: a hundredth is no small difference between shares of a few hundredths
_BY_ROLE = ("model", "baseline", "control")


@dataclass(frozen=True)
class Board:
    """Scores by (mode, method, metric), then by section, then by seed; only what is defined is there."""

    scores: dict[tuple[str, str, str], dict[str, dict[int, float]]]

    @property
    def sections(self) -> list[str]:
        """In the order of the file."""
        return _unique(section for by_section in self.scores.values() for section in by_section)

    @property
    def seeds(self) -> list[int]:
        found = {seed for of in self.scores.values() for by_seed in of.values() for seed in by_seed}
        return sorted(found)

    def methods(self, mode: str) -> list[Method]:
        """The model, then its baselines, then controls."""
        found = [method_named(name) for name in _unique(method for of, method, _ in self.scores if of == mode)]
        return sorted(found, key=lambda method: _BY_ROLE.index(method.role))

    def metrics(self, mode: str) -> list[Metric]:
        """Those that the model has, in the order of the tables."""
        return [metric for metric in metrics_of(mode) if (mode, "model", metric.name) in self.scores]

    def decisive(self, mode: str) -> list[Metric]:
        return [metric_named(mode, name) for name in DECISIVE[mode]]

    def key(self, mode: str) -> list[Metric]:
        """The metrics that are drawn."""
        return [metric for metric in self.metrics(mode) if metric.name in KEY[mode]]

    def points(self, mode: str, method: Method, metric: Metric) -> list[float]:
        """Of every section and seed."""
        by_section = self.scores.get((mode, method.name, metric.name), {})
        return [value for by_seed in by_section.values() for value in by_seed.values()]

    def mean(self, mode: str, method: Method, metric: Metric, section: str | None = None) -> Score:
        """Mean over seeds of a section, or over sections of these means; None where there is no score."""
        by_section = self._of(mode, method, metric, section)
        return fmean([fmean(by_seed.values()) for by_seed in by_section.values()]) if by_section else None

    def deviation(self, mode: str, method: Method, metric: Metric, section: str | None = None) -> Score:
        """Standard deviation over seeds (of the mean over sections); None of one seed."""
        by_section = self._of(mode, method, metric, section)
        seeds = set.intersection(*(set(by_seed) for by_seed in by_section.values())) if by_section else set()
        if len(seeds) < 2:
            return None
        return stdev([fmean([by_seed[seed] for by_seed in by_section.values()]) for seed in sorted(seeds)])

    def comparison(self, mode: str, metric: Metric, section: str | None = None) -> Comparison:
        """The model beside its best baseline; controls do not compete."""
        model, *others = self.methods(mode)
        baselines = {m: self.mean(mode, m, metric, section) for m in others if m.role == "baseline"}
        sign = 1 if metric.higher_is_better else -1
        rival = max(baselines, key=lambda m: float("-inf") if (v := baselines[m]) is None else sign * v)
        ours = self.mean(mode, model, metric, section)
        return Comparison(metric, ours, rival, baselines[rival], standing_of(metric, ours, baselines[rival]))

    def best(self, mode: str, metric: Metric, section: str | None = None) -> list[Method]:
        """Those of the model and its baselines that score best: one, or several equal ones."""
        means = {m: self.mean(mode, m, metric, section) for m in self.methods(mode) if m.role != "control"}
        defined = [value for value in means.values() if value is not None]
        top = (max if metric.higher_is_better else min)(defined, default=None)
        return [method for method, value in means.items() if value is not None and value == top]

    def _of(self, mode: str, method: Method, metric: Metric, section: str | None) -> dict[str, dict[int, float]]:
        by_section = self.scores.get((mode, method.name, metric.name), {})
        return by_section if section is None else {name: of for name, of in by_section.items() if name == section}


def standing(metric: Metric, model: Score, baseline: Score) -> Standing:
    """Where the model stands beside a baseline; an undefined score is behind a defined one."""
    if model is None or not math.isfinite(model):
        return "behind"
    if baseline is None or not math.isfinite(baseline):
        return "ahead"
    tolerance = LEVEL_CORRELATION if metric.higher_is_better else LEVEL_ERROR * max(abs(model), abs(baseline))
    if abs(model - baseline) <= tolerance:
        return "level"
    return "ahead" if (model > baseline) == metric.higher_is_better else "behind"


def standing_of(metric: Metric, model: Score, baseline: Score) -> Standing:
    """As `standing`, but level in a score that is better the higher only up to `LEVEL_SHARE` of the larger, where that
    is less than its hundredth."""
    found = standing(metric, model, baseline)
    if found != "level" or not metric.higher_is_better or model is None or baseline is None:
        return found
    if abs(model - baseline) <= min(LEVEL_CORRELATION, LEVEL_SHARE * max(abs(model), abs(baseline))):
        return "level"
    return "ahead" if model > baseline else "behind"


def board_of(rows: pd.DataFrame) -> Board:
    """`rows` has mode, section, method, metric and value, and seed where there are several.

    ValueError where a score stands there twice, or the model lacks a decisive score of a mode, or has no baseline.
    """
    rows = rows.assign(seed=0) if "seed" not in rows else rows
    keys = ["mode", "method", "metric", "section", "seed"]
    if rows.duplicated(keys).any():
        raise ValueError(f"holds two scores of {', '.join(map(str, rows.loc[rows.duplicated(keys), keys].iloc[0]))}")
    scores: dict[tuple[str, str, str], dict[str, dict[int, float]]] = {}
    for mode, method, metric, section, seed, value in rows.dropna(subset="value")[[*keys, "value"]].itertuples(
        index=False, name=None
    ):
        scores.setdefault((mode, method, metric), {}).setdefault(section, {})[int(seed)] = float(value)
    board = Board(scores)
    for mode, names in DECISIVE.items():
        for name in names:
            if (mode, "model", name) not in scores:
                raise ValueError(f"no {name} of the model ({mode})")
        if not any(method.role == "baseline" for method in board.methods(mode)):
            raise ValueError(f"no baseline ({mode})")
    return board


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
