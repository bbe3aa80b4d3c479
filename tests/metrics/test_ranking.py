"""Methods beside each other: directions, means per method, the printed table."""

import pytest

from pipeline.metrics.ranking import best, bounds, higher_is_better, mean_by_method, table


@pytest.mark.parametrize(
    "metric",
    [
        "pearson_change",
        "pearson_change_top20",
        "truth_pearson_change",
        "discrimination",
        "de_overlap_top50",
        "de_direction",
    ],
)
def test_correlations_and_shares_are_better_the_higher(metric):
    assert higher_is_better(metric)
    assert best(metric, {"a": 0.1, "b": 0.9, "c": -1.0}) == "b"


@pytest.mark.parametrize("metric", ["mse", "mae", "e_distance", "mmd", "wasserstein", "wasserstein_top100"])
def test_errors_and_distances_are_better_the_lower(metric):
    assert not higher_is_better(metric)
    assert best(metric, {"a": 0.1, "b": 0.9, "c": -0.01}) == "c"


def test_bounds_are_those_of_the_definitions():
    assert bounds("truth_pearson_change") == (-1, 1)
    assert bounds("de_overlap_top20") == bounds("discrimination") == (0, 1)
    assert bounds("wasserstein_top20") == bounds("mse") == (0, float("inf"))
    assert bounds("e_distance") == (-float("inf"), float("inf"))


def test_every_held_out_group_counts_once():
    rows = [("model", {"mse": 1.0}), ("mean", {"mse": 4.0}), ("model", {"mse": 2.0}), ("mean", {"mse": 6.0})]
    assert mean_by_method(rows) == {"model": {"mse": 1.5}, "mean": {"mse": 5.0}}


def test_the_table_marks_the_best():
    shown = table({"model": {"pearson_change": 0.9, "mse": 0.2}, "mean": {"pearson_change": 0.8, "mse": 0.1}})
    assert shown.splitlines() == [
        "metric          better    model     mean",
        "pearson_change  higher  0.9000*  0.8000",
        "mse             lower   0.2000   0.1000*",
    ]


def test_the_ceiling_is_never_the_best_and_an_undefined_score_neither():
    shown = table({"model": {"mse": 0.2}, "mean": {"mse": None}, "split_half": {"mse": 0.01}}, ["split_half"])
    assert shown.splitlines() == [
        "metric  better    model        mean  split_half",
        "mse     lower   0.2000*  undefined      0.0100",
    ]
    assert best("mse", {"a": None}) is None


def test_an_undefined_score_is_left_out_of_the_mean():
    rows = [("half", {"mse": 1.0, "mmd": None}), ("half", {"mse": None, "mmd": None})]
    assert mean_by_method(rows) == {"half": {"mse": 1.0, "mmd": None}}
