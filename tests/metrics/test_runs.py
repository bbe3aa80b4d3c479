"""The runs of a study, gathered: means and intervals by hand, and verdicts with a positive and a negative control."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.metrics.differences import difference_rows, mean_rows
from pipeline.metrics.results import ALL, Row, check, difference_name, write_results
from pipeline.metrics.runs import Run, first_run, gathered, parts, read_runs, shown_runs
from pipeline.metrics.scoreboard import scoreboard
from pipeline.metrics.verdict import compare
from tests.metrics.boards import GLOSSARY, PEARSON

AT = StudyPaths("toy", "cells")
NAME = difference_name("net", "ridge")


def rows_of(scores: dict[str, float | None], ridge: float | None = 0.5) -> list[Row]:
    """What one run scores, by unit, as its stage writes them: single units, means and differences."""
    single = []
    for unit, value in scores.items():
        bounds = (None, None) if value is None else (value - 0.1, value + 0.1)
        single += [
            Row(unit, "net", "model", "pearson", value, *bounds),
            Row(unit, "ridge", "baseline", "pearson", ridge),
            Row(unit, "truth", "control", "pearson", 1.0),
        ]
    return [*single, *mean_rows(single), *difference_rows(single)]


def run(fold: str, seed: int, scores: dict[str, float | None], ridge: float | None = 0.5) -> Run:
    return Run(replace(AT, fold=fold, seed=seed), rows_of(scores, ridge))


def of(rows: list[Row], unit: str, method: str) -> list[Row]:
    return [row for row in rows if (row.unit, row.method) == (unit, method)]


def interval(values: list[float]) -> tuple[float, float, float]:
    found = ttest_1samp(values, 0).confidence_interval(0.95)
    return pytest.approx((np.mean(values), found.low, found.high))


def numbers(row: Row) -> tuple[float | None, float | None, float | None]:
    return row.value, row.low, row.high


def test_a_single_run_stays_as_it_is():
    """With the intervals that its own resamples gave, and without a seed."""
    alone = run("held_out", 3, {"a": 0.7, "b": 0.9})
    assert gathered([alone]) == list(alone.rows)
    assert of(gathered([alone]), "a", "net")[0].low == pytest.approx(0.6)


def test_folds_and_seeds_are_gathered_by_unit_and_seed():
    """Two folds of one and two units, each with two seeds."""
    scores = {"x": ({"a": 0.7}, {"a": 0.8}), "y": ({"b": 0.6, "c": 0.9}, {"b": 0.7, "c": 0.5})}
    rows = gathered([run(fold, seed, scores[fold][seed]) for fold in scores for seed in (0, 1)])
    check(rows)
    assert [(row.seed, *numbers(row)) for row in of(rows, "a", "net")] == [
        (0, 0.7, pytest.approx(0.6), pytest.approx(0.8)),
        (1, 0.8, pytest.approx(0.7), pytest.approx(0.9)),
    ]
    assert [(row.seed, row.value) for row in of(rows, ALL, "net")] == [
        (0, pytest.approx((0.7 + 0.6 + 0.9) / 3)),
        (1, pytest.approx((0.8 + 0.7 + 0.5) / 3)),
    ]
    assert {row.seed for row in rows if row.role == "difference"} == {None}
    (in_a,), (in_b,), (in_c,), (over_all,) = (of(rows, unit, NAME) for unit in ("a", "b", "c", ALL))
    assert numbers(in_a) == interval([0.2, 0.3])
    assert numbers(in_b) == interval([0.1, 0.2])
    assert numbers(in_c) == interval([0.4, 0.0])
    assert numbers(over_all) == interval([0.25, 0.15, 0.2])  # of the units' means: another unit is within it
    board = scoreboard(rows, GLOSSARY)
    assert (board.units, board.seeds) == (("a", "b", "c"), (0, 1))
    assert board.estimate(board.model, PEARSON).value == pytest.approx(np.mean([0.75, 0.65, 0.7]))


def resampled(one: Run, half: float = 0.013) -> Run:
    """The run with intervals of its differences, as a bootstrap over its cells gives them."""
    rows = [
        replace(row, low=row.value - half, high=row.value + half)
        if row.role == "difference" and row.value is not None
        else row
        for row in one.rows
    ]
    return replace(one, rows=rows)


def test_folds_of_one_seed_keep_the_intervals_of_their_own_resamples():
    """Within a unit; over all units it is by Student's t over these."""
    runs = [resampled(run(fold, 0, {fold: value})) for fold, value in (("x", 0.7), ("y", 0.8), ("z", 0.9))]
    rows = gathered(runs)
    check(rows)
    for one, unit in zip(runs, "xyz", strict=True):
        assert of(rows, unit, NAME) == of(list(one.rows), unit, NAME)
        assert of(rows, unit, NAME)[0].low is not None
    assert numbers(of(rows, ALL, NAME)[0]) == interval([0.2, 0.3, 0.4])


def test_folds_without_resamples_have_an_interval_over_units_only():
    rows = gathered([run(fold, 0, {fold: value}) for fold, value in (("x", 0.7), ("y", 0.8), ("z", 0.9))])
    assert [numbers(of(rows, unit, NAME)[0])[1:] for unit in "xyz"] == [(None, None)] * 3
    assert numbers(of(rows, ALL, NAME)[0]) == interval([0.2, 0.3, 0.4])


def test_a_unit_of_several_seeds_has_its_interval_over_seeds_whatever_the_runs_resamples_gave():
    """And beside it a unit of one seed keeps its own."""
    runs = [resampled(run("x", seed, {"a": value})) for seed, value in ((0, 0.7), (1, 0.8))]
    rows = gathered([*runs, resampled(run("y", 0, {"b": 0.6}))])
    check(rows)
    assert numbers(of(rows, "a", NAME)[0]) == interval([0.2, 0.3])
    assert numbers(of(rows, "b", NAME)[0]) == pytest.approx((0.1, 0.087, 0.113))


@pytest.mark.parametrize(("gain", "standing"), [(0.025, "ahead"), (-0.025, "behind"), (0.0, "level"), (0.01, "level")])
def test_controls_of_units_scored_once_through_the_verdict(gain, standing):
    """Positive: differences that exclude 0 by the fold's own interval. Negative: none, and one within the noise."""
    folds = ("x", "y", "z", "v", "w")
    runs = [resampled(run(fold, 0, {f"in {fold}": 0.5 + gain})) for fold in folds]
    board = scoreboard(gathered(runs), GLOSSARY)
    assert [compare(board, PEARSON, unit).standing for unit in board.units] == [standing] * 5


def test_one_unit_has_an_interval_over_seeds_over_all_too():
    rows = gathered([run("held_out", seed, {"a": value}) for seed, value in enumerate([0.6, 0.7, 0.9])])
    check(rows)
    (in_a,), (over_all,) = of(rows, "a", NAME), of(rows, ALL, NAME)
    assert numbers(in_a) == interval([0.1, 0.2, 0.4])
    assert over_all == replace(in_a, unit=ALL)
    assert [row.seed for row in of(rows, ALL, "net")] == [0, 1, 2]


def test_a_unit_that_each_seed_draws_anew_is_one_unit():
    """Blocks of a section: a fold for every seed, and the section in each."""
    rows = gathered([run(f"blocks_{seed}", seed, {"a": 0.6 + 0.1 * seed}) for seed in (0, 1)])
    check(rows)
    assert numbers(of(rows, ALL, NAME)[0]) == interval([0.1, 0.2])


def test_an_undefined_score_leaves_its_seed_out_and_has_no_difference_where_there_is_none():
    rows = gathered([run("x", 0, {"a": None, "b": None}), run("x", 1, {"a": 0.7, "b": None})])
    check(rows)
    assert [numbers(row) for row in of(rows, "a", NAME)] == [(pytest.approx(0.2), None, None)]
    assert of(rows, "b", NAME) == []
    assert [row.value for row in of(rows, ALL, "net")] == [None, pytest.approx(0.7)]


@pytest.mark.parametrize(("gain", "standing"), [(0.2, "ahead"), (-0.2, "behind"), (0.0, "level"), (0.005, "level")])
@pytest.mark.parametrize("units", [1, 4])
def test_controls_through_the_verdict(gain, standing, units):
    """Positive: clearly better and worse. Negative: the baseline itself and a bit of noise, over seeds or units."""
    noise = np.random.default_rng(0).normal(0, 0.03, (units, 3))
    noise -= noise.mean()
    runs = [
        run(f"fold_{unit}", seed, {f"unit {unit}": 0.5 + gain + noise[unit, seed]})
        for unit in range(units)
        for seed in range(3)
    ]
    found = compare(scoreboard(gathered(runs), GLOSSARY), PEARSON)
    assert found.standing == standing
    assert found.difference.value == pytest.approx(gain)


def test_the_order_of_runs_does_not_change_a_score():
    runs = [run(fold, seed, {fold: 0.5 + 0.1 * seed + 0.05 * n}) for n, fold in enumerate("xyz") for seed in (0, 1)]
    forth, back = ({row.key: row for row in gathered(order)} for order in (runs, runs[::-1]))
    assert set(forth) == set(back)
    for key, row in forth.items():
        assert [0.0 if n is None else n for n in numbers(row)] == pytest.approx(
            [0.0 if n is None else n for n in numbers(back[key])]
        )


def test_figures_show_each_unit_once_by_the_first_run_that_predicted_it():
    runs = [run("x", 0, {"a": 0.7}), run("x", 1, {"a": 0.7}), run("y", 0, {"b": 0.7}), run("y", 1, {"b": 0.7})]
    assert [found.at.run for found in shown_runs(runs)] == ["x-0", "y-0"]
    assert shown_runs(runs[:1]) == runs[:1]


def test_every_run_is_read_where_it_scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [run("x", 0, {"a": 0.7}), run("x", 2, {"a": 0.8}), run("y", 0, {"b": 0.9})]
    listed = {"x": [0, 2], "y": [0]}
    for one in runs:
        write_results(one.at.scored / "results.csv", one.at, one.rows)
    found = read_runs(AT, listed)
    assert [one.at for one in found] == [one.at for one in runs]
    assert [one.rows for one in found] == [[replace(row, study="cells") for row in one.rows] for one in runs]
    assert first_run(AT, listed) == runs[0].at
    assert {key: path.as_posix() for key, path in parts(found, "cells.parquet").items()} == {
        name: f"reports/toy/cells/scores/{name}/cells.parquet" for name in ("x-0", "x-2", "y-0")
    }
    (runs[1].at.scored / "results.csv").write_text("system\n")
    with pytest.raises(ExpectedError, match=r"scores/x-2/results.csv: lacks study.*`dvc repro score@toy-cells-x-2`"):
        read_runs(AT, listed)
    (runs[1].at.scored / "results.csv").unlink()
    with pytest.raises(ExpectedError, match=r"scores/x-2/results.csv not found: `dvc repro score@toy-cells-x-2` makes"):
        read_runs(AT, listed)
