"""Scores of all methods on all units: means, seeds, which is best."""

from dataclasses import replace

import pytest

from pipeline.core.errors import ExpectedError
from pipeline.metrics.results import Row
from pipeline.metrics.scoreboard import Estimate, scoreboard
from tests.metrics.boards import DISTANCE, GLOSSARY, METRICS, PEARSON, ROLES, board_of, single_rows


def test_methods_stand_by_role_and_units_and_metrics_as_in_the_table():
    board = board_of({})
    assert [method.name for method in board.methods] == ["net", "ridge", "no_change", "half", "truth"]
    assert tuple(metric.name for metric in board.metrics) == METRICS
    assert board.units == ("group 0", "group 1")
    assert board.model.label == "Net"
    assert [method.name for method in board.competing] == ["net", "ridge", "no_change"]


def test_a_metric_that_the_glossary_leaves_out_is_not_shown():
    rows = [*single_rows({}), Row("group 0", "net", "model", "parameters", 1e6)]
    assert [metric.name for metric in scoreboard(rows, GLOSSARY).metrics] == list(METRICS)


def test_a_mean_is_over_the_units_where_the_score_is_defined():
    board = board_of({("group 0", "net", "distance"): 0.3, ("group 1", "ridge", "distance"): None})
    assert board.estimate(board.model, DISTANCE).value == pytest.approx(0.4)
    assert board.estimate(board.method("ridge"), DISTANCE).value == 0.5
    board = board_of({(f"group {u}", "ridge", "distance"): None for u in range(2)})
    assert board.estimate(board.method("ridge"), DISTANCE) == Estimate()


def test_over_seeds_there_are_a_mean_and_a_deviation_and_a_row_without_seed_goes_before_them():
    rows = [replace(row, value=0.1 * row.seed) for row in single_rows({}, units=1, seeds=3)]
    board = scoreboard(rows, GLOSSARY)
    assert board.seeds == (0, 1, 2)
    found = board.estimate(board.model, PEARSON, "group 0")
    assert (found.value, found.low, found.deviation) == (pytest.approx(0.1), None, pytest.approx(0.1))
    assert board.points(board.model, PEARSON) == pytest.approx([0, 0.1, 0.2])
    board = scoreboard([*rows, Row("group 0", "net", "model", "pearson", 0.15, 0.1, 0.3)], GLOSSARY)
    found = board.estimate(board.model, PEARSON, "group 0")
    assert (found.value, found.low, found.high, found.deviation) == (0.15, 0.1, 0.3, pytest.approx(0.1))


def test_equals_are_all_best_and_what_does_not_compete_is_not():
    board = board_of({("group 0", "truth", "distance"): 0.0, ("group 0", "no_change", "distance"): 0.9})
    assert [method.name for method in board.best(DISTANCE, "group 0")] == ["net", "ridge"]
    nothing = board_of({("group 0", name, "distance"): None for name in ROLES})
    assert nothing.best(DISTANCE, "group 0") == []
    assert nothing.defined(DISTANCE)
    assert not board_of({(f"group {u}", "net", "distance"): None for u in range(2)}).defined(DISTANCE)


@pytest.mark.parametrize(("role", "message"), [("model", "0 models and 2 baselines"), ("baseline", "1 models and 0")])
def test_without_a_model_or_a_baseline_there_is_nothing_to_compare(role, message):
    with pytest.raises(ExpectedError, match=message):
        scoreboard([row for row in single_rows({}) if row.role != role], GLOSSARY)


@pytest.mark.parametrize(("value", "tells"), [(1.0, False), (0.5, True), (None, False)])
def test_a_metric_tells_methods_apart_unless_it_is_undefined_or_all_are_perfect(value, tells):
    """Controls, which are perfect or bad by design, have no say."""
    rows = [
        Row(f"group {u}", name, role, "pearson", value)
        for u in range(2)
        for name, role in (("net", "model"), ("ridge", "baseline"))
    ]
    rows.append(Row("group 0", "truth", "control", "pearson", 1.0))
    assert bool(scoreboard(rows, GLOSSARY).telling) == tells
    one = replace(rows[0], value=0.9)
    board = scoreboard([one, *rows[1:]], GLOSSARY)
    assert board.telling == [PEARSON]
    assert board.contested(PEARSON) == (value is not None)  # the model alone has a score
