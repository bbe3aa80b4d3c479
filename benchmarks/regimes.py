"""What gates could gain on the simulated series by the regimes that mixtures do not find: night, and unannounced.

    python -m benchmarks.regimes

Of every channel and horizon, a ridge with a map for each of two groups of windows beside the ridge of all windows: the
group's map is that of all, corrected by a ridge of what it leaves in the group. Groups are known from the recipe
(whether the row before the forecast is in the channel's regime, be it weekend, night or unannounced, which no
forecaster can know), or found in the window itself: by the courses of its last two days (two means). Third, what chance
leaves in the last row, by its mean at this hour of the days before, counts anew for each hour at which a forecast
begins, as where it lasts by day and is forgotten by night. Errors are those of validation rows at every origin, the
penalty chosen by the other origins; test rows are not read.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.tables import print_tables
from pipeline.mole.data.layouts import split_rows
from pipeline.mole.data.recipe import read_recipe
from pipeline.mole.data.rolling_origin import origin_windows
from pipeline.mole.data.series import Series
from pipeline.mole.data.simulation import simulate
from pipeline.mole.data.step import Step
from pipeline.mole.data.windows import Windows
from pipeline.mole.metrics.gain import gain
from pipeline.mole.model.held_out import held_out

Floats = npt.NDArray[np.float64]
PENALTIES = [10 ** (power / 2) for power in range(-8, 9)]
DAY = 24  # rows
ROUNDS = 30  # of two means


class Part(NamedTuple):
    """Windows of one channel less their last value (N, L), (N, H), the row before each forecast (N,), their last two
    days as courses of the clock (N, 24), and what is by chance in their last value (N, 1)."""

    x: Floats
    y: Floats
    row: npt.NDArray[np.int64]
    course: Floats
    chance: Floats


Gate = Callable[[Part, Part], tuple[Floats, Floats]]  # weights (N, groups) of train and validation windows
Seen = Callable[[Part], Floats]  # what the map of a group sees of each window


def _window(part: Part) -> Floats:
    return part.x


def _chance(part: Part) -> Floats:
    return part.chance


def regimes(arguments: argparse.Namespace) -> None:
    """The gain of each way of grouping over one map, with its standard error over the origins."""
    recipe = read_recipe(arguments.data)
    simulated = simulate(recipe)
    splits = split_rows(None, recipe.rows)
    assert splits is not None
    step = Step(60 * recipe.step_minutes)
    series = Series(simulated.date_T, simulated.value_TC, tuple(simulated.channels), step, splits)
    print("| channel | regime | horizon | told the regime | by the window's last days | chance, by the hour |")
    print("|---|---|--:|--:|--:|--:|")
    for horizon in arguments.horizons:
        origins = origin_windows(series, arguments.origins, arguments.lookback, horizon)
        for place, name in enumerate(series.channels):
            parts = [tuple(_part(of, place, series) for of in pair) for pair in origins]
            told = _told(simulated.other_TC[:, place])
            ways = ((told, _window), (_by_course, _window), (_by_hour, _chance))
            cells = [_gain(parts, *way) for way in ways]
            print(f"| {name} | {recipe.channels[name].regime} | {horizon} | {' | '.join(cells)} |", flush=True)


def _part(windows: Windows, channel: int, series: Series) -> Part:
    x, y = (of(slice(None))[:, channel].astype(np.float64) for of in (windows.x, windows.y))
    row = np.searchsorted(series.date_T, windows.stamp(slice(None))) + windows.lookback - 1
    days = x[:, -2 * DAY :].reshape(len(x), 2, DAY).mean(1)
    course = np.stack([np.roll(one, hour) for one, hour in zip(days, (row + 1) % DAY, strict=True)])
    chance = x[:, -1:] - x[:, -1 - DAY :: -DAY].mean(1, keepdims=True)
    return Part(x - x[:, -1:], y - x[:, -1:], row, course - course.mean(1, keepdims=True), chance)


def _told(other_T: npt.NDArray[np.bool_]) -> Gate:
    def weights(*parts: Part) -> Any:
        return tuple(np.stack([other_T[of.row], ~other_T[of.row]], 1).astype(np.float64) for of in parts)

    return weights


def _by_hour(*parts: Part) -> Any:
    return tuple(np.eye(DAY)[(of.row + 1) % DAY] for of in parts)


def _by_course(train: Part, validation: Part) -> tuple[Floats, Floats]:
    """How near each window is to either of two mean courses, found in train windows from the two farthest on."""
    far = train.course[np.square(train.course - train.course.mean(0)).sum(1).argmax()]
    centre = np.stack([train.course[_squares(train.course, far[None])[:, 0].argmax()], far])
    for _ in range(ROUNDS):
        nearest = _squares(train.course, centre).argmin(1)
        centre = np.stack(
            [train.course[nearest == of].mean(0) if (nearest == of).any() else centre[of] for of in (0, 1)]
        )
    spread = _squares(train.course, centre).min(1).mean() / 4

    def weights(part: Part) -> Floats:
        squares = _squares(part.course, centre)
        weight: Floats = np.exp(-(squares - squares.min(1, keepdims=True)) / (2 * spread))
        return weight / weight.sum(1, keepdims=True)

    return weights(train), weights(validation)


def _squares(course: Floats, centre: Floats) -> Floats:
    found: Floats = np.square(course[:, None] - centre).sum(2)
    return found


def _gain(parts: list[Any], gate: Gate, seen: Seen) -> str:
    one = [[_loss(pair, penalty) for pair in parts] for penalty in PENALTIES]
    penalty = PENALTIES[int(np.log(one).mean(1).argmin())]
    several = [[_loss(pair, penalty, gate, seen, of_group) for pair in parts] for of_group in PENALTIES]
    ours, theirs = ({str(k): loss for k, loss in enumerate(held_out(of))} for of in (several, one))
    found = gain(ours, theirs)
    return f"{100 * found.share:+.1f} ± {100 * found.error:.1f} %"


def _loss(
    pair: tuple[Part, Part], penalty: float, gate: Gate | None = None, seen: Seen = _window, of_group: float = 0.0
) -> float:
    train, validation = pair
    weight_LH = _ridge(train.x, train.y, penalty)
    forecast = validation.x @ weight_LH
    if gate is not None:
        rest, gates = train.y - train.x @ weight_LH, gate(train, validation)
        for of_train, of_validation in zip(gates[0].T[..., None], gates[1].T[..., None], strict=True):
            root = np.sqrt(of_train)
            forecast += of_validation * (seen(validation) @ _ridge(root * seen(train), root * rest, of_group))
    return float(np.square(validation.y - forecast).mean())


def _ridge(x: Floats, y: Floats, penalty: float) -> Floats:
    gram_LL = x.T @ x
    scaled = penalty * max(float(np.trace(gram_LL)), 1e-12) / len(gram_LL)
    found: Floats = np.linalg.solve(gram_LL + scaled * np.eye(len(gram_LL)), x.T @ y)
    return found


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data/embedded/series.yaml"), help="the recipe")
    parser.add_argument("--lookback", type=int, default=96, metavar="N")
    parser.add_argument("--horizons", type=int, nargs="+", default=[24, 96], metavar="N")
    parser.add_argument("--origins", type=int, default=3, metavar="N", help="earlier ones (default: %(default)s)")


if __name__ == "__main__":
    print_tables(__doc__, {"regimes": regimes}, _add_arguments)
