"""Scores of forecasts as rows of results: every method, horizon and seed, and how mixtures differ from what they have
to beat."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.metrics.differences import difference_rows
from pipeline.metrics.mean_interval import mean_interval
from pipeline.metrics.results import ALL, Row, difference_name
from pipeline.mole.data.ridge_choice import RIDGES
from pipeline.mole.metrics.forecasting import ForecastErrors

PAIRED = ("mse", "mae")
BLOCKS = 10  # of test windows, at most
ROUNDING = 1e-6  # of errors of one forecast that is computed in two ways, in 32-bit numbers


class Place(NamedTuple):
    """Of one score of a method."""

    unit: str
    method: str
    metric: str


Blocks = Mapping[Place, npt.NDArray[np.float64]]  # mean errors of each block of test windows, (K,)


def blocks_of(
    unit: str, horizon: int, found: Iterable[tuple[str, ForecastErrors]]
) -> dict[Place, npt.NDArray[np.float64]]:
    """`block_means` of the means over the seeds of each method. found: the errors of a method, once for each seed."""
    errors: dict[str, list[ForecastErrors]] = {}
    for method, one in found:
        errors.setdefault(method, []).append(one)
    blocks: dict[Place, npt.NDArray[np.float64]] = {}
    for method, of_seeds in errors.items():
        for metric, name in zip(PAIRED, ("squared_B", "absolute_B"), strict=True):
            mean_B = np.mean([getattr(one, name).cpu().numpy() for one in of_seeds], axis=0)
            blocks[Place(unit, method, metric)] = block_means(mean_B, horizon)
    return blocks


def block_means(value_N: npt.NDArray[np.float64], horizon: int) -> npt.NDArray[np.float64]:
    """(K,): of blocks of equally many windows, one after another in time. A block holds as many windows as the horizon
    has rows, or more, so that windows in two blocks have few rows in common."""
    count = max(1, min(BLOCKS, len(value_N) // horizon))
    return np.array([part.mean() for part in np.array_split(value_N, count)])


def with_differences(rows: Sequence[Row], twins: Mapping[str, str], blocks: Blocks) -> list[Row]:
    """The rows, then every mixture minus every baseline and minus its dense twin, and every ridge, with which forecasts
    may be made, too, minus every other baseline, at each horizon.

    twins: of each mixture, the same backbone alone. A mixture meets its twin seed by seed, and a baseline, which has no
    seed, with each of its own. The 95 % interval is that of the mean over `blocks`, by Student's t: how far other
    stretches of the series would move the difference, with the same trainings (batch means: Künsch, Ann. Statist. 17,
    1217, 1989, for why blocks and not windows, whose errors are correlated). With fewer than two blocks it is that of
    the mean over seeds: how far other trainings would, on the same windows; none with one seed. A difference that is
    rounding alone, as that of networks that stayed at their start, the ridge, is 0.
    """
    found = list(rows)
    paired = [row for row in rows if row.metric in PAIRED]
    baselines = list(dict.fromkeys(row.method for row in paired if row.role == "baseline"))
    pairs = [(mixture, [*baselines, twin]) for mixture, twin in twins.items()]
    pairs += [(ridge, [name for name in baselines if name != ridge]) for ridge in baselines if ridge in RIDGES]
    for ours, others in pairs:
        sides = [replace(row, role="model") for row in paired if row.method == ours]
        sides += [replace(row, role="baseline") for row in paired if row.method in others]
        names = {difference_name(ours, other): other for other in others}
        differences = [row for row in difference_rows(sides) if row.unit != ALL]
        found += [_without_rounding(_over_blocks(row, ours, names[row.method], blocks)) for row in differences]
    return found


def _over_blocks(row: Row, ours: str, theirs: str, blocks: Blocks) -> Row:
    """With the interval over blocks, where there are two or more."""
    ours_K, theirs_K = (blocks.get(Place(row.unit, method, row.metric), np.zeros(1)) for method in (ours, theirs))
    if row.value is None or len(ours_K) < 2 or len(ours_K) != len(theirs_K):
        return row
    mean, _, high = mean_interval((ours_K - theirs_K).tolist())
    return replace(row, low=row.value - (high - mean), high=row.value + (high - mean))


def _without_rounding(row: Row) -> Row:
    parts = (row.value, row.low, row.high)
    if any(part is not None and abs(part) > ROUNDING for part in parts):
        return row
    value, low, high = (None if part is None else 0.0 for part in parts)
    return replace(row, value=value, low=low, high=high)
