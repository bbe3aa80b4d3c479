"""The scores of all forecasts, and the mixture that validation chose at each horizon."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import geometric_mean

from pipeline.core.errors import ExpectedError
from pipeline.metrics.glossary import Metric
from pipeline.metrics.results import Row
from pipeline.metrics.scoreboard import Scoreboard, scoreboard
from pipeline.metrics.verdict import Comparison, compare
from pipeline.mole.data.ridge_choice import RIDGE, RIDGES, RidgeChoice
from pipeline.mole.glossary import GLOSSARY, MAE, MSE, unit_of
from pipeline.mole.metrics.gain import Gain, gain, preferred
from pipeline.report.spreads import Spread


@dataclass(frozen=True)
class Choice:
    """At one horizon: the mixture that validation chose, and the dense point of the same backbone."""

    chosen: str
    twin: str
    # Of each mixture and of the ridge: loss over that of least squares, by where validation starts.
    origins: Mapping[str, Mapping[str, float]]
    ridges: Mapping[str, Sequence[RidgeChoice]] = field(default_factory=dict)  # by name: one map, or of each channel

    def relative_loss(self, name: str) -> float:
        """Its geometric mean over the origins."""
        return geometric_mean(self.origins[name].values())

    @property
    def preferred(self) -> str:
        """What forecasts are made with, by the rule of `pipeline.mole.points.preferred`."""
        rivals = [*(name for name in RIDGES if name in self.ridges), self.chosen]
        return preferred({name: self.origins[name] for name in rivals})

    @property
    def gains(self) -> Mapping[str, Gain]:
        """On the validation rows of all origins, over the ridge; of none where there is no ridge."""
        if RIDGE not in self.ridges:
            return {}
        rivals = [*(name for name in RIDGES if name in self.ridges and name != RIDGE), self.chosen]
        return {name: gain(self.origins[name], self.origins[RIDGE]) for name in rivals}


@dataclass(frozen=True)
class Board:
    """All scores; every test window of a horizon counts."""

    scores: Scoreboard
    choices: Mapping[int, Choice]  # by horizon, ascending
    windows: Mapping[int, int]  # test windows by horizon

    @property
    def horizons(self) -> list[int]:
        return list(self.choices)

    @property
    def models(self) -> list[str]:
        return [method.name for method in self.scores.models]

    @property
    def baselines(self) -> list[str]:
        return [method.name for method in self.scores.baselines]

    @property
    def seeds(self) -> int:
        return len(self.scores.seeds)

    def spread(self, horizon: int, method: str, metric: Metric = MSE) -> Spread:
        found = self.scores.estimate(self.scores.method(method), metric, unit_of(horizon))
        return Spread(found.value, found.deviation)

    def mean(self, horizon: int, method: str, metric: Metric = MSE) -> float:
        """Of what is known to be there."""
        found = self.spread(horizon, method, metric).mean
        assert found is not None  # checked when it was read
        return found

    def points(self, horizon: int, method: str) -> list[float]:
        """The MSE of every seed."""
        rows = self.scores.rows[unit_of(horizon), method, MSE.name]
        return [row.value for row in rows if row.value is not None]

    def rival(self, horizon: int) -> str:
        """The best baseline by MSE."""
        return min(self.baselines, key=lambda name: self.mean(horizon, name))

    def comparison(self, horizon: int, other: str) -> Comparison:
        """The chosen mixture beside another method, by MSE."""
        return self._beside(horizon, self.choices[horizon].chosen, other)

    def used(self, horizon: int) -> Comparison:
        """What forecasts are made with beside the best baseline, which it may be itself, by MSE."""
        return self._beside(horizon, self.choices[horizon].preferred, self.rival(horizon))

    def _beside(self, horizon: int, ours: str, other: str) -> Comparison:
        return compare(self.scores, MSE, unit_of(horizon), self.scores.method(ours), self.scores.method(other))


def board_of(rows: Iterable[Row], choices: Mapping[int, Choice], windows: Mapping[int, int]) -> Board:
    """ExpectedError where a method has no MSE or MAE at a horizon, there is no baseline, or a choice is no model."""
    scores = scoreboard(rows, GLOSSARY)
    names = {method.name for method in scores.models}
    for horizon, choice in choices.items():
        for name in (choice.chosen, choice.twin):
            if name not in names:
                raise ExpectedError(f"{name}, named as chosen or as its twin at horizon {horizon}, is no model of it")
        if choice.chosen not in choice.origins or len({tuple(of) for of in choice.origins.values()}) != 1:
            raise ExpectedError(f"what was chosen by at horizon {horizon} does not hold every origin of every mixture")
        if set(choice.ridges) != set(RIDGES) & set(choice.origins):
            raise ExpectedError(f"a ridge at horizon {horizon} lacks its settings or its losses")
        for method in scores.competing:
            for metric in (MSE, MAE):
                if scores.estimate(method, metric, unit_of(horizon)).value is None:
                    raise ExpectedError(f"no {metric.name} of {method.name} at horizon {horizon}")
    return Board(scores, dict(sorted(choices.items())), windows)
