"""Is a mixture of linear experts better than a tuned ridge, and what do its experts do? From all trained forecasters.

What is chosen is chosen by validation rows, of all origins.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder, write_json
from pipeline.core.paths import StudyPaths
from pipeline.metrics.headlines import MOST, write_headlines
from pipeline.metrics.ranking import table
from pipeline.metrics.results import Row, write_results
from pipeline.metrics.scoreboard import scoreboard
from pipeline.metrics.verdict import compare
from pipeline.mole.data.ridge_choice import RIDGE, RIDGES
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import read_series
from pipeline.mole.evaluation.choices import choices_of, refuse_stale
from pipeline.mole.evaluation.forecast_example import example
from pipeline.mole.evaluation.horizon import Horizon
from pipeline.mole.evaluation.intervals import COVERAGE_COLUMNS, coverage_rows, interval_rows, judge_intervals
from pipeline.mole.evaluation.judge import (
    BASELINES,
    Tables,
    add_means,
    judge_baselines,
    judge_point,
    judge_ridge,
    rows_of,
)
from pipeline.mole.evaluation.result_rows import Place, blocks_of, with_differences
from pipeline.mole.glossary import GLOSSARY, MSE, unit_of
from pipeline.mole.params.evaluate import Evaluate
from pipeline.mole.params.sweep import Sweep
from pipeline.mole.points import chosen_mixture, preferred, read_point, twin_of
from pipeline.training.determinism import prepare_device

SECTIONS = ("mole.sweep", "mole.evaluate")
DIGITS = 6  # significant ones in the results


def run(sweep: Sweep, evaluation: Evaluate, at: StudyPaths) -> None:
    """Write the results of all methods, the headlines, what the figures show, and which mixture validation chose."""
    device = prepare_device(sweep.recipe.device, sweep.recipe.threads)
    series = read_series(at.raw)
    scaler = fit_scaler(series)
    points = [read_point(at.models / name) for name in sweep.points]
    ridge = read_point(at.models / RIDGE)
    refuse_stale(points, ridge, sweep)
    ridges = [one for one in (read_point(at.models / name) for name in RIDGES) if one.validation]
    rows: list[Row] = []
    tables = Tables(*([] for _ in Tables._fields))
    windows: dict[int, int] = {}
    blocks: dict[Place, npt.NDArray[np.float64]] = {}
    for length in sweep.recipe.horizons:
        horizon = Horizon(length, series, scaler, device, sweep.recipe.lookback, evaluation.season)
        chosen = chosen_mixture(points, length)
        found = [*(judge_ridge(one, horizon) for one in ridges), *judge_baselines(horizon)]
        for point in points:
            found += judge_point(point, points, horizon, tables)
        rows += [row for one in found for row in rows_of(one, horizon)]
        blocks |= blocks_of(unit_of(length), length, [(one.method, one.test) for one in found])
        banded = judge_intervals(chosen, ridges, horizon, sweep.recipe.earlier_origins)
        rows += interval_rows(banded, length)
        tables.coverage.extend(coverage_rows(banded, length))
        add_means(tables, found, length, series.channels, {chosen.name, twin_of(chosen, points).name, *BASELINES})
        tables.example.extend(example(chosen, horizon, evaluation.example_channel))
        windows[length] = horizon.windows("test").windows

    twins = {point.name: twin_of(point, points).name for point in points if point.experts > 1}
    rows = with_differences(rows, twins, blocks)
    board = scoreboard(rows, GLOSSARY)
    choices = choices_of(points, ridges, windows)
    preferences = {length: preferred([*points, *ridges], length) for length in windows}
    used = {length: board.method(point.name) for length, point in preferences.items() if point is not None}
    headlines = {f"mse_{h}": compare(board, MSE, unit_of(h), method) for h, method in list(used.items())[:MOST]}
    write_results(at.results, at, rows, DIGITS)
    write_headlines(at.headlines, headlines)
    with atomic_folder(at.details) as folder:
        for name, fields in tables._asdict().items():
            columns = COVERAGE_COLUMNS if name == "coverage" else None  # of no row where nothing could be calibrated
            pd.DataFrame(fields, columns=columns).to_parquet(folder / f"{name}.parquet", index=False)
        write_json(folder / "choices.json", choices)
    for length, method in used.items():
        chosen = choices["horizons"][str(length)]["chosen"]
        print(f"horizon {length} ({windows[length]:,} test windows; validation chose {chosen}, used: {method.name})")
        print(table(board, unit_of(length)))


if __name__ == "__main__":
    run_study_stage(SECTIONS, run)
