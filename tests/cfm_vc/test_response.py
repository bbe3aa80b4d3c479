"""All scores together: the truth wins them all, its halves come near, no effect and shuffled cells lose."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.metrics.bootstrap import draws, percentile_interval
from pipeline.cfm_vc.metrics.populations import space_of
from pipeline.cfm_vc.metrics.response import (
    Response,
    control_misses,
    response_of,
    scores_of,
    split_half_scores,
    yardstick,
)

GENES = 30
NAMES = [
    "pearson_change",
    "pearson_change_top5",
    "pearson_change_top20",
    "slope_change",
    "mse",
    "mae",
    "wmse",
    "r2_weighted",
    "e_distance",
    "mmd",
    "discrimination",
    "de_overlap_top5",
    "de_overlap_top20",
    "de_direction",
    "wasserstein",
    "wasserstein_top20",
]
ONE = [name for name in NAMES if name.startswith(("pearson", "slope", "r2", "de_")) or name == "discrimination"]


def moments(expression):
    expression = expression.astype(float)
    return Moments(len(expression), expression.mean(axis=0), (expression**2).sum(axis=0))


def case(effect=2.0, cells=200, replicates=50):
    """The true response, its yardstick, the cells behind them, and the moments of both halves and of the controls."""
    random = np.random.default_rng(0)
    control = random.normal(3, 1, size=(cells, GENES)).astype(np.float32)
    true = random.normal(3, 1, size=(cells, GENES)).astype(np.float32)
    true += np.float32(effect) * np.linspace(-1, 1, GENES, dtype=np.float32)
    others = [moments(control + shift_G) for shift_G in random.normal(scale=effect / 2, size=(4, GENES))]
    space = space_of(true, control, 10)
    response, resampled = response_of(moments(true), moments(control).mean_G, true, replicates, random)
    by = yardstick(resampled, moments(control), others, space, [5, 20])
    return response, by, true, control


def predicted(mean_change, population, replicates=50):
    times = draws(len(population), replicates, np.random.default_rng(1))
    return Response(np.asarray(mean_change, dtype=float)[None], population, times)


def first(scores):
    return {name: values[0] for name, values in scores.items()}


def test_the_truth_against_itself_wins_everything():
    true, by, *_ = case()
    scores = scores_of(true, true, by)
    assert list(scores) == NAMES
    assert control_misses(scores, true) == []
    assert all(values.shape == (51,) for values in scores.values())
    found = first(scores)
    assert all(found[name] == pytest.approx(1, abs=1e-12) for name in ONE)
    assert found["mse"] == found["mae"] == found["wmse"] == found["wasserstein"] == found["wasserstein_top20"] == 0
    assert found["e_distance"] < 0
    assert found["mmd"] < 0


@pytest.mark.parametrize("name", NAMES)
def test_a_score_that_misses_is_named(name):
    true, by, *_ = case()
    scores = scores_of(true, true, by)
    assert control_misses({**scores, name: np.array([0.3])}, true) == [f"{name} is 0.3"]
    assert control_misses({**scores, name: np.array([np.nan])}, true) == []


def test_a_truth_without_an_effect_is_no_fault():
    true, by, *_ = case()
    flat = replace(true, change_RG=np.full_like(true.change_RG, 0.25))
    assert control_misses(scores_of(flat, flat, by), flat) == []


def test_no_effect_and_shuffled_genes_lose():
    true, by, cells, control = case()
    best = first(scores_of(predicted(true.change_RG[0], cells), true, by))
    none = first(scores_of(predicted(np.zeros(GENES), control), true, by))
    order = np.random.default_rng(3).permutation(GENES)
    shuffled = first(scores_of(predicted(true.change_RG[0][order], cells[:, order]), true, by))
    for name in NAMES:
        for worse in (none, shuffled):
            assert worse[name] < best[name] if name in ONE else worse[name] > best[name]
    assert none["pearson_change"] == none["slope_change"] == none["de_direction"] == none["de_overlap_top5"] == 0
    assert abs(shuffled["pearson_change"]) < 0.35


def test_a_population_collapsed_on_the_right_mean_loses_where_populations_are_compared():
    true, by, cells, _ = case()
    collapsed = np.repeat(cells.mean(axis=0, keepdims=True), len(cells), axis=0)
    found = first(scores_of(predicted(true.change_RG[0], collapsed), true, by))
    assert found["mse"] == 0
    assert found["e_distance"] > 1
    assert found["wasserstein"] > 0.5


def test_every_score_has_an_interval_that_holds_it_and_narrows_with_more_cells():
    def width(cells):
        true, by, _, control = case(cells=cells)
        scores = scores_of(predicted(np.linspace(-1, 2, GENES), control[::-1]), true, by)
        found = {}
        for name, values in scores.items():
            low, high = percentile_interval(values)
            assert low <= values[0] <= high
            found[name] = high - low
        return found

    few, many = width(50), width(800)
    for name in ("pearson_change", "slope_change", "mse", "mae", "e_distance", "mmd", "wasserstein"):
        assert 0 < many[name] < 0.5 * few[name]


def test_the_halves_nearly_reproduce_a_strong_effect():
    _, by, cells, control = case()
    halves = moments(cells[::2]), moments(cells[1::2])
    args = (halves, moments(control).mean_G, cells, by, 50, np.random.default_rng(0))
    scores = split_half_scores(*args)
    found = first(scores)
    assert list(scores) == NAMES
    assert found["pearson_change"] > 0.98
    assert found["pearson_change_top20"] > 0.98
    assert abs(found["e_distance"]) < 0.1
    assert abs(found["mmd"]) < 0.02
    assert found["discrimination"] == found["de_direction"] == 1
    low, high = percentile_interval(scores["pearson_change"])
    assert 0.9 < low < high < 1


def test_more_cells_raise_the_ceiling():
    def ceiling(cells):
        _, by, mine, control = case(effect=0.3, cells=cells, replicates=0)
        halves = moments(mine[: cells // 2]), moments(mine[cells // 2 :])
        found = split_half_scores(halves, moments(control).mean_G, mine, by, 0, np.random.default_rng(0))
        return found["pearson_change"][0]

    assert ceiling(40) < ceiling(2000)


def test_too_few_cells_for_two_populations_leave_their_distance_undefined():
    _, by, cells, control = case(cells=3)
    halves = moments(cells), moments(cells)
    found = first(split_half_scores(halves, moments(control).mean_G, cells, by, 10, np.random.default_rng(0)))
    undefined = [name for name in NAMES if np.isnan(found[name])]
    assert undefined == ["e_distance", "mmd", "de_direction", "wasserstein", "wasserstein_top20"]  # nor is a gene DE


def test_without_replicates_the_scores_are_the_same_and_there_is_no_interval():
    true, by, _, control = case(replicates=0)
    none = scores_of(predicted(np.linspace(-1, 2, GENES), control, replicates=0), true, by)
    true, by, _, control = case(replicates=20)
    some = scores_of(predicted(np.linspace(-1, 2, GENES), control, replicates=20), true, by)
    assert first(none) == pytest.approx(first(some), rel=1e-12)
    assert all(percentile_interval(values) is None for values in none.values())
