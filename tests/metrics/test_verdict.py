"""Ahead, level, behind: by the interval of the difference alone, with a positive and a negative control."""

import numpy as np
import pytest

from pipeline.cfm_vc.metrics.bootstrap import draws, percentile_interval
from pipeline.metrics.differences import difference_rows
from pipeline.metrics.results import Row, difference_name
from pipeline.metrics.scoreboard import Estimate, scoreboard
from pipeline.metrics.verdict import compare, noise_floor, standing_of
from tests.metrics.boards import DISTANCE, GLOSSARY, PEARSON, board_of, single_rows


@pytest.mark.parametrize(
    ("difference", "higher", "lower"),
    [
        (Estimate(0.1, 0.05, 0.2), "ahead", "behind"),
        (Estimate(-0.1, -0.2, -0.05), "behind", "ahead"),
        (Estimate(0.1, -0.01, 0.2), "level", "level"),
        (Estimate(0.1, 0.0, 0.2), "level", "level"),
        (Estimate(0.0, 0.0, 0.0), "level", "level"),
        (Estimate(0.1), "level", "level"),  # no interval: nothing to say
        (Estimate(), "level", "level"),
        (Estimate(1e-6, 5e-7, 2e-6), "ahead", "behind"),  # no share and no tolerance
    ],
)
def test_the_interval_decides(difference, higher, lower):
    assert standing_of(difference, True) == higher
    assert standing_of(difference, False) == lower


def test_below_the_floor_all_is_level():
    assert standing_of(Estimate(0.1, 0.05, 0.2), True, floor=0.1) == "level"


def test_a_bound_that_is_zero_but_for_rounding_is_zero():
    assert standing_of(Estimate(0.1, 5e-17, 0.2), True) == "level"
    assert standing_of(Estimate(-0.1, -0.2, -5e-17), True) == "level"
    assert standing_of(Estimate(0.1, 1e-6, 0.2), True) == "ahead"
    assert standing_of(Estimate(-0.1, -0.2, -0.05), False, floor=0.09) == "ahead"


def paired(ours: np.ndarray, theirs: np.ndarray, replicates: int = 500) -> Estimate:
    """The difference of two means over the same cells, on the same resamples."""
    times_RB = draws(len(ours), replicates, np.random.default_rng(0))
    values_R = (times_RB @ (ours - theirs)) / len(ours)
    return Estimate(float(values_R[0]), *percentile_interval(values_R))


def test_controls_through_the_paired_bootstrap():
    """Positive: clearly better is ahead. Negative: the same method, and one that differs by noise, are level."""
    random = np.random.default_rng(1)
    score_B, noise_B = random.normal(0, 1, 200), random.normal(0, 0.1, 200)
    noise_B -= noise_B.mean()
    assert standing_of(paired(score_B, score_B), True) == "level"
    assert standing_of(paired(score_B + noise_B, score_B), True) == "level"
    assert standing_of(paired(score_B + 0.1 + noise_B, score_B), True) == "ahead"
    assert standing_of(paired(score_B - 0.1 + noise_B, score_B), True) == "behind"


def test_the_rival_is_the_best_baseline_of_the_unit_and_metric():
    values = {("group 0", "no_change", "pearson"): 0.6, ("group 1", "ridge", "pearson"): 0.7}
    board = board_of(values)
    assert compare(board, PEARSON, "group 0").baseline.name == "no_change"
    assert compare(board, PEARSON, "group 1").baseline.name == "ridge"
    found = compare(board, PEARSON)
    assert (found.model, found.baseline.name, found.baseline_score) == (0.5, "ridge", pytest.approx(0.6))
    assert found.difference.value == pytest.approx(-0.1)
    chosen = compare(board, PEARSON, baseline=board.method("no_change"))
    assert chosen.baseline_score == pytest.approx(0.55)


def test_a_baseline_that_is_used_itself_is_level_with_itself():
    board = board_of({("group 0", "no_change", "pearson"): 0.6})
    found = compare(board, PEARSON, "group 0", board.method("no_change"))
    assert (found.standing, found.baseline.name, found.model) == ("level", "no_change", found.baseline_score)
    assert (found.difference.value, found.difference.low, found.difference.high) == (0.0, 0.0, 0.0)


def test_ahead_in_every_unit_is_ahead_and_a_mixed_result_is_level():
    ahead = {(f"group {u}", "net", "pearson"): 0.9 + 0.001 * u for u in range(5)}
    assert compare(board_of(ahead, units=5), PEARSON).standing == "ahead"
    mixed = {(f"group {u}", "net", "pearson"): 0.9 if u % 2 else 0.2 for u in range(5)}
    assert compare(board_of(mixed, units=5), PEARSON).standing == "level"


def test_an_undefined_score_is_behind_a_defined_one():
    nothing = {(f"group {u}", "net", "pearson"): None for u in range(2)}
    assert compare(board_of(nothing), PEARSON).standing == "behind"
    nothing = {(f"group {u}", name, "pearson"): None for u in range(2) for name in ("ridge", "no_change")}
    assert compare(board_of(nothing), PEARSON).standing == "ahead"


def test_near_zero_the_ceiling_is_the_floor_of_unbiased_distances_only():
    values = {(f"group {u}", "half", metric): -0.03 for u in range(3) for metric in ("distance", "pearson")}
    values |= {(f"group {u}", "net", metric): 0.48 for u in range(3) for metric in ("distance", "pearson")}
    values |= {("group 0", "net", metric): 0.481 for metric in ("distance", "pearson")}  # some spread
    board = board_of(values, units=3)
    assert noise_floor(board, DISTANCE) == 0.03
    assert noise_floor(board, PEARSON) == 0
    assert compare(board, DISTANCE).standing == "level"
    assert compare(board, PEARSON).standing == "behind"


def test_a_table_without_the_difference_is_an_error_of_the_system():
    board = scoreboard(single_rows({}), GLOSSARY)
    with pytest.raises(ValueError, match="no difference between net and ridge in pearson, group 0"):
        compare(board, PEARSON, "group 0")


def test_differences_over_seeds_and_units_are_students_t():
    """By hand: seeds of the model against a baseline without any, then units by their means."""
    rows = [Row("a", "net", "model", "m", value, seed=seed) for seed, value in enumerate([0.5, 0.6, 0.7])]
    rows += [Row("a", "ridge", "baseline", "m", 0.4)]
    rows += [Row("b", "net", "model", "m", 0.9, seed=0), Row("b", "ridge", "baseline", "m", 0.4)]
    one, other, both = difference_rows(rows)
    assert (one.unit, one.method, one.role) == ("a", difference_name("net", "ridge"), "difference")
    assert one.value == pytest.approx(0.2)
    half = 4.302652730 * 0.1 / np.sqrt(3)
    assert (one.low, one.high) == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))
    assert (other.value, other.low, other.high) == (pytest.approx(0.5), None, None)
    half = 12.70620474 * np.std([0.2, 0.5], ddof=1) / np.sqrt(2)
    assert (both.unit, both.value) == ("all", pytest.approx(0.35))
    assert (both.low, both.high) == (pytest.approx(0.35 - half), pytest.approx(0.35 + half))
