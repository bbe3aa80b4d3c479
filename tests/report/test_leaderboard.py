"""Tables of scores: the best marked, what does not compete apart, intervals or deviations below."""

from dataclasses import replace

from pipeline.metrics.results import Row
from pipeline.metrics.scoreboard import scoreboard
from pipeline.report.leaderboard import method_table, metric_table, unit_table
from tests.metrics.boards import DISTANCE, GLOSSARY, PEARSON, board_of, single_rows

BOARD = board_of({("group 0", "net", "pearson"): 0.9, ("group 0", "truth", "pearson"): 1.0})


def test_a_row_per_metric_marks_the_best_of_those_that_compete():
    table = metric_table(BOARD, "A caption.", "group 0")
    assert table.header == ["metric", "Net", "ridge", "no change", "split half", "truth"]
    first = table.rows[0]
    assert first[0].text == "Pearson\N{NO-BREAK SPACE}↑"
    assert [(cell.text, cell.best, cell.quiet) for cell in first[1:]] == [
        ("0.900", True, False),
        ("0.500", False, False),
        ("0.500", False, False),
        ("0.500", False, True),
        ("1.000", False, True),
    ]
    assert len(table.rows) == len(BOARD.metrics)


def test_a_row_per_method_below_each_unit():
    table = method_table(BOARD, [PEARSON, DISTANCE], "", BOARD.units)
    assert table.header == ["method", "Pearson\N{NO-BREAK SPACE}↑", "Distance\N{NO-BREAK SPACE}↓"]
    assert [row[0].text for row in table.rows if len(row) == 1] == ["group 0", "group 1"]
    assert len(table.rows) == 2 * (1 + len(BOARD.methods))
    means = method_table(BOARD, [PEARSON], "")
    assert [[cell.text for cell in row] for row in means.rows[:3]] == [
        ["Net", "0.700"],
        ["ridge", "0.500"],
        ["no change", "0.500"],
    ]


def test_a_row_per_unit_and_one_for_the_mean():
    table = unit_table(BOARD, PEARSON, "")
    assert [row[0].text for row in table.rows] == ["group 0", "group 1", "mean"]
    assert [row[1].text for row in table.rows] == ["0.900", "0.500", "0.700"]


def test_below_a_score_stands_its_interval_or_its_deviation_over_seeds():
    rows = [replace(row, value=0.1 * row.seed) for row in single_rows({}, units=1, seeds=3)]
    board = scoreboard(rows, GLOSSARY)
    assert unit_table(board_of({}, seeds=3), PEARSON, "").rows[0][1].remark == ""  # all seeds the same
    assert metric_table(board, "", "group 0").rows[0][1].remark == "± 0.100"
    rows = [Row("all", "net", "model", "pearson", 0.5, 0.4, 0.6), Row("all", "ridge", "baseline", "pearson", 0.2)]
    cells = metric_table(scoreboard(rows, GLOSSARY), "").rows[0]
    assert [cell.remark for cell in cells[1:]] == ["0.400 to 0.600", ""]
