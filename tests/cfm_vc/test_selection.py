"""Which scores decide, and which held-out groups are drawn where there are too many."""

from collections.abc import Mapping

import pytest

from pipeline.cfm_vc.decisive import decisive, key_metrics
from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.cfm_vc.report.selection import select
from pipeline.metrics.results import Row
from pipeline.metrics.scoreboard import Scoreboard, scoreboard

ROLES = {"cfm_vc": "model", "ridge": "baseline"}
METRICS = ("pearson_change", "pearson_change_top20", "pearson_change_top100", "e_distance", "discrimination")


def board_of(
    values: Mapping[tuple[str, str], float | None], units: int = 2, metrics: tuple[str, ...] = METRICS
) -> Scoreboard:
    """A score is 0.5 unless `values` has it by unit and metric."""
    rows = [
        Row(f"drug in T{u}", method, role, metric, values.get((f"drug in T{u}", metric), 0.5))
        for u in range(units)
        for method, role in ROLES.items()
        for metric in metrics
    ]
    return scoreboard(rows, GLOSSARY)


def test_the_largest_number_of_top_genes_and_the_energy_distance_decide():
    board = board_of({})
    assert [metric.name for metric in decisive(board)] == ["pearson_change_top100", "e_distance"]
    assert [metric.name for metric in key_metrics(board)] == ["pearson_change_top100", "e_distance", "discrimination"]
    board = board_of({}, metrics=("pearson_change", "e_distance"))
    assert [metric.name for metric in decisive(board)] == ["pearson_change", "e_distance"]


def test_without_other_perturbations_there_is_no_discrimination_to_show():
    board = board_of({(f"drug in T{u}", "discrimination"): None for u in range(2)})
    assert [metric.name for metric in key_metrics(board)] == ["pearson_change_top100", "e_distance"]


def test_few_groups_are_all_drawn():
    selection = select(board_of({}, units=5))
    assert list(selection.titles.values()) == [f"drug in T{group}" for group in range(5)]
    assert selection.note == ""


@pytest.mark.parametrize("undefined", [False, True])
def test_of_many_groups_the_worst_the_median_and_the_best_are_drawn(undefined):
    """By the model's Pearson: an undefined one is the worst there is."""
    values: dict[tuple[str, str], float | None] = {
        (f"drug in T{u}", "pearson_change_top100"): 0.1 * u for u in range(7)
    }
    if undefined:
        values["drug in T5", "pearson_change_top100"] = None
        assert next(iter(select(board_of(values, units=7)).titles)) == "drug in T5"
        return
    selection = select(board_of(values, units=7))
    assert list(selection.titles.values()) == ["worst: drug in T0", "median: drug in T3", "best: drug in T6"]
    assert "of 7 held-out groups" in selection.note
    assert "for the other 4 see the tables" in selection.note
