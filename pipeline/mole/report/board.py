"""The scores of all forecasts: what every picture, table and sentence on forecasting says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from pipeline.report.spreads import Measure, Spread, spread

Standing = Literal["ahead", "level", "behind"]

LEVEL_SHARE = 0.005  # of the larger error: less is called level, whatever the seeds say
MSE, MAE = Measure("mse", "MSE", False), Measure("mae", "MAE", False)
VALIDATION = Measure("validation_mse", "validation MSE", False)
COLUMNS = ("horizon", "method", "role", "seed", "metric", "value")


@dataclass(frozen=True)
class Choice:
    """At one horizon: the mixture that validation chose, and the dense point of the same backbone."""

    chosen: str
    twin: str
    origins: Mapping[str, Mapping[str, float]]  # of each mixture, loss over least squares' by where validation starts


@dataclass(frozen=True)
class Board:
    """`scores` by (horizon, method, metric): one per seed, of a baseline one. Methods in the order of the file."""

    scores: Mapping[tuple[int, str, str], tuple[float, ...]]
    roles: Mapping[str, str]  # model or baseline
    choices: Mapping[int, Choice]
    windows: Mapping[int, int]  # test windows by horizon; every one counts

    @property
    def horizons(self) -> list[int]:
        return sorted(self.choices)

    @property
    def models(self) -> list[str]:
        return [name for name, role in self.roles.items() if role == "model"]

    @property
    def baselines(self) -> list[str]:
        return [name for name, role in self.roles.items() if role == "baseline"]

    @property
    def seeds(self) -> int:
        return max(len(values) for (_, name, _), values in self.scores.items() if self.roles[name] == "model")

    def spread(self, horizon: int, method: str, measure: Measure = MSE) -> Spread:
        return spread(self.scores.get((horizon, method, measure.name), ()))

    def mean(self, horizon: int, method: str, measure: Measure = MSE) -> float:
        """Of what is known to be there."""
        found = self.spread(horizon, method, measure).mean
        assert found is not None  # checked when it was read
        return found

    def rival(self, horizon: int) -> str:
        """The best baseline by MSE."""
        return min(self.baselines, key=lambda name: self.mean(horizon, name))

    def standing(self, horizon: int, other: str) -> Standing:
        """Where the chosen mixture stands beside another method, by MSE.

        Ahead or behind only where the means differ by more than `LEVEL_SHARE`, and by more than both standard
        deviations over seeds; never ahead on the word of one seed.
        """
        ours, theirs = self.spread(horizon, self.choices[horizon].chosen), self.spread(horizon, other)
        mean, rival = self.mean(horizon, self.choices[horizon].chosen), self.mean(horizon, other)
        needed = max(LEVEL_SHARE * max(mean, rival), (ours.deviation or 0.0) + (theirs.deviation or 0.0))
        if mean < rival - needed:
            return "level" if ours.deviation is None else "ahead"
        return "behind" if mean > rival + needed else "level"


def board_of(
    rows: pd.DataFrame, choices: Mapping[int, Choice], windows: Mapping[int, int], methods: Iterable[str] = ()
) -> Board:
    """`rows` has `COLUMNS`.

    ValueError where a score stands there twice or is not finite, a method has no known role or no MSE or MAE at a
    horizon, there is no baseline, or a choice is not among the models (or `methods`, where given).
    """
    keys = ["horizon", "method", "seed", "metric"]
    if rows.duplicated(keys).any():
        twice = rows.loc[rows.duplicated(keys), ["horizon", "method", "metric"]].iloc[0]
        raise ValueError(f"holds two scores of {', '.join(map(str, twice))}")
    roles = {str(method): str(role) for method, role in rows[["method", "role"]].itertuples(index=False, name=None)}
    if unknown := sorted(set(roles.values()) - {"model", "baseline"}):
        raise ValueError(f"role {unknown[0]!r}: a method of forecasting is a model or a baseline")
    if "baseline" not in roles.values():
        raise ValueError("holds no baseline")
    if not rows["value"].abs().lt(float("inf")).all():
        raise ValueError("a score is not finite")
    scores: dict[tuple[int, str, str], tuple[float, ...]] = {
        (int(str(horizon)), str(method), str(metric)): tuple(of["value"])
        for (horizon, method, metric), of in rows.sort_values("seed", kind="stable").groupby(
            ["horizon", "method", "metric"], sort=False
        )
    }
    for horizon, choice in choices.items():
        for name in (choice.chosen, choice.twin):
            if roles.get(name) != "model":
                raise ValueError(f"{name}, named as chosen or as its twin at horizon {horizon}, is no model of it")
        if choice.chosen not in choice.origins or len({tuple(of) for of in choice.origins.values()}) != 1:
            raise ValueError(f"what was chosen by at horizon {horizon} does not hold every origin of every mixture")
        for name in {*roles, *methods}:
            for measure in (MSE, MAE):
                if (horizon, name, measure.name) not in scores:
                    raise ValueError(f"no {measure.name} of {name} at horizon {horizon}")
    return Board(scores, roles, dict(sorted(choices.items())), windows)
