"""The table that an evaluation prints."""

from pipeline.metrics.ranking import table
from tests.metrics.boards import board_of


def test_the_best_that_compete_are_marked_and_an_undefined_score_is_said_to_be():
    values = {(f"group {u}", "net", "pearson"): 0.9 for u in range(2)}
    values |= {(f"group {u}", "ridge", "distance"): None for u in range(2)}
    values |= {(f"group {u}", "half", "distance"): 0.01 for u in range(2)}
    assert table(board_of(values)).splitlines() == [
        "metric        better      net       ridge  no_change     half    truth",
        "pearson       higher  0.9000*     0.5000     0.5000   0.5000   0.5000",
        "pearson_top5  higher  0.5000*     0.5000*    0.5000*  0.5000   0.5000",
        "distance      lower   0.5000*  undefined     0.5000*  0.0100   0.5000",
    ]
    assert "0.9000*" in table(board_of(values), "group 1")
