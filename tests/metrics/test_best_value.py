"""A metric whose best score is neither the highest nor the lowest: all that orders and judges goes by the distance."""

import numpy as np
import pytest

from pipeline.core.paths import StudyPaths
from pipeline.metrics.differences import difference_rows, mean_rows
from pipeline.metrics.glossary import Glossary, Metric
from pipeline.metrics.headlines import headline
from pipeline.metrics.ranking import table
from pipeline.metrics.results import ALL, Row, difference_name
from pipeline.metrics.runs import Run, gathered
from pipeline.metrics.scoreboard import Scoreboard, scoreboard
from pipeline.metrics.verdict import compare
from pipeline.report.leaderboard import metric_table
from pipeline.report.ranking import rankings

GLOSSARY = Glossary((Metric("slope", "Slope", False, "How much.", best_value=1.0),))
SLOPE = GLOSSARY.metric("slope")


def board_of(**slopes: list[float | None]) -> Scoreboard:
    """Slopes of each method by unit; the first method is the model."""
    rows = [
        Row(f"group {unit}", method, "baseline" if number else "model", "slope", value)
        for number, (method, values) in enumerate(slopes.items())
        for unit, value in enumerate(values)
    ]
    return scoreboard([*rows, *mean_rows(rows), *difference_rows(rows, GLOSSARY)], GLOSSARY)


def names(board: Scoreboard, unit: str = ALL) -> list[str]:
    return [method.name for method in board.best(SLOPE, unit)]


def test_the_nearest_is_best_from_either_side():
    assert SLOPE.best([0.2, None, 1.3, 5.0]) == 1.3
    assert SLOPE.best([None]) is None
    assert SLOPE.perfect == 1
    assert (SLOPE.heading, SLOPE.direction) == ("Slope\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}1", "nearer to 1 is better")


def test_differences_are_those_of_the_distances_of_numbers_and_of_resamples():
    assert SLOPE.difference(1.5, 0.8) == pytest.approx(0.3)
    np.testing.assert_allclose(SLOPE.difference(np.array([1.0, 3.0]), np.array([0.5, 0.5])), [-0.5, 1.5])
    other = Metric("error", "Error", False)
    assert other.difference(1.5, 0.8) == pytest.approx(0.7)


def test_errors_on_both_sides_do_not_make_up_for_each_other():
    """The model's mean slope is perfect, and no single one is."""
    board = board_of(net=[0.5, 1.5], ridge=[0.8, 0.9], no_change=[0.0, 0.0])
    assert board.estimate(board.model, SLOPE).value == 1
    assert names(board) == names(board, "group 0") == names(board, "group 1") == ["ridge"]
    assert board.loss(board.model, SLOPE) == 0.5
    assert [cell.best for cell in metric_table(board, "").rows[0][1:]] == [False, True, False]


@pytest.mark.parametrize(
    ("net", "standing"),
    [([0.9, 1.1, 1.0, 0.95], "ahead"), ([0.1, 1.9, 2.0, 0.0], "behind"), ([0.7, 1.6, 1.0, 0.4], "level")],
)
def test_the_verdict_and_the_gain_go_by_the_distance(net, standing):
    found = compare(board_of(net=net, ridge=[0.5, 0.6, 1.5, 1.4], no_change=[0.0] * 4), SLOPE)
    assert (found.baseline.name, found.standing) == ("ridge", standing)
    gain = np.mean([0.5, 0.4, 0.5, 0.4]) - np.mean(np.abs(np.array(net) - 1))
    written = headline(found)
    assert written["gain"] == pytest.approx(gain)
    assert written["gain_low"] < written["gain"] < written["gain_high"]


def test_methods_are_drawn_from_the_nearest_to_the_farthest():
    board = board_of(net=[1.4, 1.4], ridge=[0.9, 0.9], shift=[0.0, 0.0], twice=[2.2, 2.2], lost=[None, None])
    (drawn,) = rankings(board, [SLOPE], "").pictures
    assert "nearer to 1 is better" in drawn.alt
    places = [
        drawn.alt.index(label) for label in ("ridge 0.90", "net 1.40", "shift 0.00", "twice 2.20", "lost undefined")
    ]
    assert places == sorted(places)


def test_the_printed_table_says_where_the_best_is():
    line = table(board_of(net=[0.5, 1.5], ridge=[0.8, 0.9])).splitlines()[1]
    assert line.split() == ["slope", "at", "1", "1.0000", "0.8500*"]


def test_a_metric_in_which_all_are_perfect_tells_nothing():
    assert board_of(net=[1.0, 1.0], ridge=[1.0, 1.0]).telling == []
    assert board_of(net=[1.0, 1.0], ridge=[1.0, 0.0]).telling == [SLOPE]


def test_an_undefined_unit_is_left_out():
    board = board_of(net=[None, 0.9], ridge=[0.8, 0.8])
    assert names(board) == ["net"]
    assert names(board_of(net=[None, None], ridge=[None, None])) == []


def test_runs_are_gathered_with_the_differences_of_distances():
    def run(seed: int, net: float) -> Run:
        rows = [Row("a", "net", "model", "slope", net), Row("a", "ridge", "baseline", "slope", 0.5)]
        return Run(StudyPaths("toy", "cells", "fold", seed), rows)

    rows = gathered([run(0, 0.8), run(1, 1.4)], GLOSSARY)
    (in_a,) = (row for row in rows if row.role == "difference" and row.unit == "a")
    assert in_a.value == pytest.approx(np.mean([0.2, 0.4]) - 0.5)


def test_differences_of_other_metrics_are_as_without_a_glossary():
    rows = [Row("a", "net", "model", "error", 0.5, seed=seed) for seed in range(2)]
    rows += [Row("a", "ridge", "baseline", "error", 2.0)]
    assert difference_rows(rows, GLOSSARY) == difference_rows(rows)
    assert difference_rows(rows)[0].method == difference_name("net", "ridge")
