"""Cycles: the fit and the forecast against loops, planted regimes found, and nothing gained where there are none."""

import math

import numpy as np
import pytest
import torch

from pipeline.mole.data.calendar_place import calendar_of
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.ridge_choice import RidgeChoice
from pipeline.mole.data.step import DAY, Step
from pipeline.mole.data.time_features import time_features
from pipeline.mole.data.windows import Windows
from pipeline.mole.model.cycle_mixture import CycleMixture
from pipeline.mole.model.cycle_search import solve_cycles
from pipeline.mole.model.cycles import CERTAIN, Cycles, fit_cycles
from pipeline.mole.model.mixture_scores import mean_squared_error
from pipeline.mole.model.ridge_search import PENALTIES, search_each
from tests.mole.test_ridge import materialised, solved

HOUR, CALENDAR = Step(seconds=3600), calendar_of(Step(seconds=3600))
MONDAY = 4 * DAY
LOOKBACK, HORIZON = 48, 12
EACH = [[0], [1]]  # channel a group of its own


def weeks(weekend: float, channels: int = 2, rows: int = 1200, seed: int = 0) -> np.ndarray:
    """(C, T): a daily cycle, which is so much lower on Saturdays and Sundays of the first channel, and noise of an
    autoregression."""
    rng, hour = np.random.default_rng(seed), np.arange(rows)
    noise = np.zeros((channels, rows))
    for row in range(1, rows):
        noise[:, row] = 0.7 * noise[:, row - 1] + 0.5 * rng.normal(size=channels)
    value = noise + np.sin(2 * np.pi * hour / 24)
    value[0] -= weekend * (hour // 24 % 7 >= 5) * (1.5 + np.cos(2 * np.pi * hour / 24))
    return value


def windows_of(value: np.ndarray, first: int, after: int, lookback: int = LOOKBACK) -> Windows:
    stamps = MONDAY + 3600 * np.arange(first, after, dtype=np.int64)
    value_CT = np.ascontiguousarray(value[:, first:after]).astype(np.float32)
    return Windows(value_CT, time_features(stamps), stamps, lookback, HORIZON)


def origins(value: np.ndarray, lookback: int = LOOKBACK) -> list[tuple[Windows, Windows]]:
    """Train and validation windows of two origins."""
    cuts = ((600, 900), (900, 1200))
    return [
        (windows_of(value, 0, cut, lookback), windows_of(value, cut - lookback, end, lookback)) for cut, end in cuts
    ]


def ridges_of(value: np.ndarray) -> list[RidgeChoice]:
    found = search_each(
        lambda lookback: origins(value, lookback), [LOOKBACK], ["none", "last"], [[c] for c in range(len(value))]
    )
    return [RidgeChoice(lookback=one.lookback, offset=one.offset, penalty=one.penalty) for one in found]


def losses(value: np.ndarray, models: list[CycleMixture]) -> list[float]:
    validation = [ResidentWindows(one, 256, torch.device("cpu")) for _, one in origins(value)]
    return [mean_squared_error(m.forecast, one.epoch(0)) for m, one in zip(models, validation, strict=True)]


def slow_fit(value: np.ndarray, place: np.ndarray, season: int, groups: int, experts: int) -> tuple[np.ndarray, ...]:
    """Gates (D, E) and cycles (E, S) of one channel, cell by cell."""
    cell = {(d, s): value[place == d * season + s] for d in range(groups) for s in range(season)}
    course = np.array([[cell[d, s].mean() for s in range(season)] for d in range(groups)])
    every = [np.concatenate([cell[d, s] for d in range(groups)]).mean() for s in range(season)]
    variance = np.mean([(value[t] - course[place[t] // season, place[t] % season]) ** 2 for t in range(len(value))])
    cycles = [np.array(every)]
    while len(cycles) < experts:
        far = [min(np.mean((course[d] - cycle) ** 2) for cycle in cycles) for d in range(groups)]
        cycles.append(course[int(np.argmax(far))])
    for _ in range(100):
        gate = np.empty((groups, experts))
        for d in range(groups):
            seasons = np.mean([len(cell[d, s]) for s in range(season)])
            logit = np.array([-seasons * np.mean((course[d] - cycle) ** 2) / (2 * variance) for cycle in cycles])
            gate[d] = np.exp(np.maximum(logit - logit.max(), -CERTAIN))
            gate[d] /= gate[d].sum()
        cycles = [
            np.array(
                [
                    sum(gate[d, e] * cell[d, s].sum() for d in range(groups))
                    / sum(gate[d, e] * len(cell[d, s]) for d in range(groups))
                    for s in range(season)
                ]
            )
            for e in range(experts)
        ]
    return gate, np.array(cycles)


@pytest.mark.parametrize("experts", [1, 2, 3])
def test_the_fit_is_that_of_a_loop(experts: int) -> None:
    rng = np.random.default_rng(experts)
    place = (np.arange(101) + 2) % 12  # four groups of a season of three rows
    value = rng.normal(size=(2, 101)) + np.array([0.0, 3.0, -1.0, 2.0])[place // 3]
    found = fit_cycles(torch.from_numpy(value), torch.from_numpy(place), 3, 4, experts)
    for channel in range(2):
        gate, cycles = slow_fit(value[channel], place, 3, 4, experts)
        np.testing.assert_allclose(found.logit_CDE[channel].softmax(1), gate, atol=1e-9)
        np.testing.assert_allclose(found.cycle_CES[channel], cycles, rtol=1e-9)
        np.testing.assert_allclose(found.expected()[channel].view(4, 3), gate @ cycles, rtol=1e-9)


def test_a_forecast_is_that_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    logit, cycle = torch.randn(2, 7, 3, generator=generator), torch.randn(2, 3, 24, generator=generator)
    weight = torch.randn(2, HORIZON, LOOKBACK, generator=generator) / 7
    model = CycleMixture.of(Cycles(logit, cycle), weight, HOUR)
    windows = ResidentWindows(windows_of(weeks(1.0), 5, 205), 64, torch.device("cpu"))
    batch = windows.take(torch.tensor([0, 17, 100]))
    heads, logits = model.asked(batch)
    for b, c in np.ndindex(3, 2):
        hour = int((batch.stamp_B[b] - MONDAY) // 3600)
        of_row = [logit[c, (hour + t) // 24 % 7].softmax(0) for t in range(LOOKBACK + HORIZON)]
        expected = torch.stack([of_row[t] @ cycle[c, :, (hour + t) % 24] for t in range(LOOKBACK + HORIZON)])
        rest = weight[c] @ (batch.x_BCL[b, c] - expected[:LOOKBACK])
        torch.testing.assert_close(model(batch)[b, c], rest + expected[LOOKBACK:], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.weights_in_time(batch)[b, c], of_row[LOOKBACK])
        torch.testing.assert_close(model.weights_of(logits)[b, c, :, -1], of_row[-1])
    alone = model.weights_of(logits.index_fill(2, torch.tensor([0, 2]), -math.inf))
    torch.testing.assert_close(model.mixed(heads, alone), model.alone(heads, 1))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_regimes_are_found_and_make_forecasts_better(seed: int) -> None:
    value = weeks(1.0, seed=seed)
    ridges = ridges_of(value)
    one, two = (
        solve_cycles(lambda lookback: origins(value, lookback), ridges, EACH, CALENDAR, n).models for n in (1, 2)
    )
    for model in two:
        torch.testing.assert_close(
            model.logit_CDE[0].softmax(1)[:, 0], torch.tensor([1.0] * 5 + [0.0] * 2), rtol=0, atol=1e-3
        )
    alone = search_each(lambda lookback: origins(value, lookback), [LOOKBACK], ["none", "last"], EACH)
    ridge = [sum(of.losses[origin] for of in alone) / 2 for origin in range(2)]
    cycle, mixture = losses(value, one), losses(value, two)
    assert math.prod(mixture) < 0.81 * math.prod(ridge)  # of two origins: a tenth less in the geometric mean
    assert math.prod(mixture) < 0.9 * math.prod(cycle)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_regimes_a_second_cycle_brings_nothing(seed: int) -> None:
    value = weeks(0.0, seed=seed)
    one, two = (
        losses(
            value, solve_cycles(lambda lookback: origins(value, lookback), ridges_of(value), EACH, CALENDAR, n).models
        )
        for n in (1, 2)
    )
    assert math.prod(two) == pytest.approx(math.prod(one), rel=0.03)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_a_season_the_ridge_is_kept(seed: int) -> None:
    value = weeks(0.0, seed=seed) - np.sin(2 * np.pi * np.arange(1200) / 24)
    ridges = ridges_of(value)
    models = solve_cycles(lambda lookback: origins(value, lookback), ridges, EACH, CALENDAR, 2).models
    kept = [not model.cycle_CES[c].any() for model in models for c in range(2)]
    alone = search_each(lambda lookback: origins(value, lookback), [LOOKBACK], ["none", "last"], EACH)
    assert all(kept)
    expected = [sum(of.losses[origin] for of in alone) / 2 for origin in range(2)]
    assert losses(value, models) == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_the_map_is_that_of_least_squares_with_a_penalty_on_what_the_cycles_leave() -> None:
    value = weeks(1.0)
    origin = origins(value)
    ridge = RidgeChoice(lookback=LOOKBACK, offset="none", penalty=0.1)
    model = solve_cycles(lambda _: origin, [ridge], [range(2)], CALENDAR, 2).models[0]
    train = origin[0][0]
    expected_CP = Cycles(model.logit_CDE, model.cycle_CES).expected().detach().numpy()
    rest = train.value_CT - expected_CP[:, CALENDAR.place(train.stamp_T)]
    x_RL, y_RH, _ = materialised(windows_of(rest, 0, rest.shape[1]), "none")
    maps = [solved(x_RL, y_RH, penalty).T.float() for penalty in PENALTIES[1:]]
    assert min(float((model.weight_CHL[0] - one).abs().max()) for one in maps) < 1e-4
    torch.testing.assert_close(model.weight_CHL[0], model.weight_CHL[1])  # one map of all channels


@pytest.mark.parametrize(
    ("step", "season", "groups"),
    [
        (Step(seconds=3600), 24, 7),
        (Step(seconds=900), 96, 7),
        (Step(seconds=60), 60, 1),  # a day is too many rows
        (Step(seconds=7 * 3600), 24, 1),  # of which no day holds a whole number
        (Step(seconds=DAY), 7, 1),
        (Step(calendar="MS"), 12, 1),
        (Step(calendar="B"), 5, 1),
    ],
)
def test_every_row_is_one_place_after_the_row_before(step: Step, season: int, groups: int) -> None:
    calendar = calendar_of(step)
    if step.seconds != 7 * 3600:
        assert (calendar.season, calendar.groups) == (season, groups)
    first = np.datetime64("2024-01-01", "s").astype(np.int64)  # a Monday
    place = calendar.place(np.concatenate([[first], step.after(int(first), 400)]))
    places = calendar.season * calendar.groups
    np.testing.assert_array_equal(np.diff(place) % places, np.full(400, 1 % places))
    if groups == 7:
        assert place[0] == 0  # midnight of a Monday
