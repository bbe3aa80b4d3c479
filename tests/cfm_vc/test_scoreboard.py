"""Scores of all methods on all held-out groups: means, standings, and what is drawn where there is too much."""

from itertools import product

import pandas as pd
import pytest

from pipeline.cfm_vc.report.against_baselines import winners
from pipeline.cfm_vc.report.scoreboard import scoreboard
from pipeline.cfm_vc.report.selection import select

ROLES = {
    "ridge": "baseline",
    "truth": "control",
    "cfm_vc": "model",
    "split_half": "ceiling",
    "control_mean": "baseline",
}
METRICS = ["pearson_change", "pearson_change_top20", "pearson_change_top100", "e_distance", "discrimination"]


def table(values: dict[tuple[str, str, str], float | None], groups: int = 2) -> pd.DataFrame:
    """One perturbation in each cell type; a score is 0.5 unless `values` has it by cell type, method and metric."""
    rows = [
        {
            "cell_type": f"T{group}",
            "perturbation": "drug",
            "method": method,
            "role": role,
            "metric": metric,
            "value": values.get((f"T{group}", method, metric), 0.5),
            "low": 0.4,
            "high": 0.6,
        }
        for group, (method, role), metric in product(range(groups), ROLES.items(), METRICS)
    ]
    return pd.DataFrame(rows)


def test_methods_stand_by_role_and_groups_and_metrics_as_in_the_table():
    board = scoreboard(table({}))
    assert [method.name for method in board.methods] == ["cfm_vc", "ridge", "control_mean", "split_half", "truth"]
    assert [metric.name for metric in board.metrics] == METRICS
    assert board.groups == (("T0", "drug"), ("T1", "drug"))


def test_a_mean_is_over_the_groups_where_the_score_is_defined():
    board = scoreboard(table({("T0", "cfm_vc", "e_distance"): 0.3, ("T1", "ridge", "e_distance"): None}))
    means = {method.name: mean for method, mean in board.means(board.metrics[3]).items()}
    assert means["cfm_vc"] == pytest.approx(0.4)
    assert means["ridge"] == 0.5
    nothing = {(f"T{group}", "ridge", "e_distance"): None for group in range(2)}
    board = scoreboard(table(nothing))
    assert board.means(board.metrics[3])[board.baselines[0]] is None


def test_a_score_has_its_interval_and_one_that_is_absent_is_undefined():
    full = table({})
    board = scoreboard(full)
    found = board.estimate(board.groups[0], board.model, board.metrics[0])
    assert (found.value, found.low, found.high) == (0.5, 0.4, 0.6)
    board = scoreboard(full.drop(columns=["low", "high"]).iloc[1:])
    assert board.estimate(board.groups[0], board.baselines[0], board.metrics[-1]).low is None
    ridge = next(method for method in board.methods if method.name == "ridge")
    first = next(metric for metric in board.metrics if metric.name == "pearson_change")
    assert board.estimate(("T0", "drug"), ridge, first).value is None


def test_the_largest_number_of_top_genes_and_the_energy_distance_decide():
    board = scoreboard(table({}))
    assert [metric.name for metric in board.decisive] == ["pearson_change_top100", "e_distance"]
    assert [metric.name for metric in board.key] == ["pearson_change_top100", "e_distance", "discrimination"]
    whole = table({})
    board = scoreboard(whole[~whole["metric"].str.contains("top")])
    assert [metric.name for metric in board.decisive] == ["pearson_change", "e_distance"]


def test_without_other_perturbations_there_is_no_discrimination_to_show():
    board = scoreboard(table({(f"T{g}", m, "discrimination"): None for g in range(2) for m in ROLES}))
    assert [metric.name for metric in board.key] == ["pearson_change_top100", "e_distance"]


def test_standings_are_against_the_best_baseline_of_each_group():
    values = {
        ("T0", "cfm_vc", "e_distance"): 0.3,
        ("T1", "cfm_vc", "e_distance"): 0.3,
        ("T1", "control_mean", "e_distance"): 0.2,
    }
    board = scoreboard(table(values))
    assert board.standings(board.decisive[1]) == {("T0", "drug"): "ahead", ("T1", "drug"): "behind"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda rows: rows.assign(role=rows["role"].replace("control", "judge")), "role 'judge' of method truth"),
        (lambda rows: pd.concat([rows, rows.iloc[:1]]), "two scores of T0, drug, ridge, pearson_change"),
        (lambda rows: rows[rows["role"] != "model"], "0 models and 2 baselines"),
        (lambda rows: rows[rows["role"] != "baseline"], "1 models and 0 baselines"),
        (lambda rows: rows.assign(role=["control", *rows["role"][1:]]), "two roles"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(change, problem):
    with pytest.raises(ValueError, match=problem):
        scoreboard(change(table({})))


def test_few_groups_are_all_drawn():
    selection = select(scoreboard(table({}, groups=5)))
    assert list(selection.titles.values()) == [f"drug in T{group}" for group in range(5)]
    assert selection.note == ""


def test_of_many_groups_the_worst_the_median_and_the_best_are_drawn():
    """By the model's Pearson: an undefined one is the worst there is."""
    values = {(f"T{g}", "cfm_vc", "pearson_change_top100"): 0.1 * g for g in range(7)}
    selection = select(scoreboard(table(values, groups=7)))
    assert list(selection.titles.values()) == ["worst: drug in T0", "median: drug in T3", "best: drug in T6"]
    assert "of 7 held-out groups" in selection.note
    assert "the other 4 are in the tables only" in selection.note
    values["T5", "cfm_vc", "pearson_change_top100"] = None
    assert next(iter(select(scoreboard(table(values, groups=7))).titles)) == ("T5", "drug")


def test_equals_are_all_marked_as_best_and_what_does_not_compete_is_not():
    board = scoreboard(table({("T0", "truth", "e_distance"): 0.0, ("T0", "control_mean", "e_distance"): 0.9}))
    distance = board.decisive[1]
    assert winners(board.of_group(board.groups[0], distance), distance) == {"cfm_vc", "ridge"}
    assert winners(dict.fromkeys(board.methods), distance) == set()
