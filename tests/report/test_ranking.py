"""Which metrics the ranking draws, and where its line of chance is."""

import re

import pytest

from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.metrics.results import Row
from pipeline.metrics.scoreboard import Scoreboard, scoreboard
from pipeline.plots.ranking import RankingRow, draw_ranking
from pipeline.report.ranking import rankings

METHODS = ("cfm_vc", "control_mean", "additive_shift", "ridge")


def board_of(discrimination: tuple[float, ...]) -> Scoreboard:
    rows = [
        Row(unit, method, "baseline" if number else "model", metric, value)
        for unit in ("drug in T0", "all")
        for number, method in enumerate(METHODS)
        for metric, value in (("e_distance", 1.0 + 0.1 * number), ("discrimination", discrimination[number]))
    ]
    return scoreboard(rows, GLOSSARY)


@pytest.mark.parametrize(
    ("scores", "drawn"),
    [
        ((1.0, 1.0, 1.0, 1.0), 1),
        ((1.0, 0.5, 1.0, 1.0), 1),
        ((1.0, 0.5, 1.0, 0.9), 2),
        ((0.5, 1.0, 1.0, 1.0), 2),  # the model is behind: that has to be seen
    ],
)
def test_a_metric_by_which_most_methods_are_equally_good_is_named_but_not_drawn(scores, drawn):
    board = board_of(scores)
    figures = rankings(board, board.metrics, "Means.")
    assert len(figures.pictures) == drawn
    assert (" Not drawn: " in figures.caption) == (drawn == 1)


def test_the_line_of_chance_leaves_out_the_labels():
    """It is in pieces, one per row."""
    rows = [RankingRow(name, "baseline", [0.4, 0.6], 0.5, "0.50") for name in METHODS]
    dashed = [
        len(re.findall(r"stroke-dasharray", draw_ranking("Score", "higher", rows, chance).light.decode()))
        for chance in (None, 0.5)
    ]
    assert dashed == [0, len(rows)]
