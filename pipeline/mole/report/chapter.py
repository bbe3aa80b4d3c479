"""The chapters that answer: does a mixture of linear experts forecast better than a tuned ridge and its dense twin?"""

import numpy as np
import pandas as pd

from pipeline.mole.data.ridge_choice import RIDGE, RIDGES
from pipeline.mole.glossary import LEAST_SQUARES, LEVEL, ahead, label_of
from pipeline.mole.plots.forecast import Forecast, Kind, StepErrors, draw_errors_by_step, draw_forecast
from pipeline.mole.report.board import Board
from pipeline.mole.report.results import Forecasting, MeasuredSeries
from pipeline.mole.report.tables import channel_table, choice_table, main_table, ridge_table, size_table, units_table
from pipeline.mole.report.verdict import answer_of, error_decimals, sentences, verdict
from pipeline.plots.ranking import SMALL_WIDTH, RankingRow, draw_ranking
from pipeline.plots.scatter import Floats
from pipeline.plots.theme import PANEL_WIDTH, Picture
from pipeline.report.origin import origin
from pipeline.report.page import Block, Facts, Figures, Heading, Notes, Section
from pipeline.report.scores import shown

ANCHOR = "forecasting"
_MOST_CHANNELS = 4  # drawn of the example
_HISTORY = 2  # times the horizon, at most, of what was before an example
_NAIVE: tuple[Kind, ...] = ("naive", "other naive")


def forecasting(found: Forecasting) -> Section:
    """Verdict, ranking, tables, errors by step, examples and definitions."""
    board = found.board
    notes = found.source["notes"]
    blocks: list[Block] = [
        *([Notes(notes)] if notes else []),
        rankings(board),
        main_table(board),
        *_folded_tables(board),
        Heading("How errors grow with the step ahead"),
        Figures(
            [_by_step(found, horizon) for horizon in board.horizons],
            "Mean squared error of scaled values at each step, over all test windows, channels and seeds. Orange: the "
            "mixture that validation chose; blue: its dense twin; dashed: the linear baseline; grey: naive "
            "forecasts, which may leave the frame.",
        ),
        *(channel_table(found, horizon) for horizon in board.horizons),
        Heading("One window"),
        _example(found, board.horizons[0]),
        size_table(found),
    ]
    return Section("Forecasts against the baselines", ANCHOR, verdict(found), blocks, answer_of(board))


def measured(found: MeasuredSeries) -> Section:
    """The same table of a measured series, and where it comes from."""
    study, board = found.study, found.board
    whose = "" if study.of_this_run else "Not the series of this run. "
    lead = f"{whose}{study.title}. {study.description}. {sentences(board)}"
    blocks: list[Block] = [
        rankings(board),
        main_table(board),
        *_folded_tables(board),
        Facts(origin(study.about), small=True),
    ]
    return Section("A measured series", f"measured-{study.name}", lead, blocks, answer_of(board))


def _folded_tables(board: Board) -> list[Block]:
    tables = [units_table(board), choice_table(board), ridge_table(board)]
    return [table for table in tables if table is not None]


def rankings(board: Board) -> Figures:
    """A picture per horizon: all methods by their MSE, the best first."""
    small = len(board.horizons) > 2
    pictures = [_ranking(board, horizon, SMALL_WIDTH if small else PANEL_WIDTH) for horizon in board.horizons]
    dots = " (large dots; small ones: single seeds)" if board.seeds > 1 else ""
    caption = (
        f"Methods in order of their mean squared errors on all test windows{dots}. Orange: the mixture that validation "
        "chose; grey: the other models and the baselines."
    )
    return Figures(pictures, caption, small)


def example_of(rows: pd.DataFrame, channel: str, baseline: str) -> Forecast:
    """One channel of the first window of `rows`."""
    of = rows[rows["channel"] == channel]
    experts = sorted({str(name) for name in of["series"] if str(name).startswith("expert_")}, key=_number)
    step, value = _line(of, "truth")
    start = -_HISTORY * int(step.max())
    before, after = (step <= 0) & (step > start), step > 0
    low, high = (_line(of, name)[1] for name in ("low", "high"))
    mixture = _line(of, "mixture")
    return Forecast(
        (step[before], value[before]),
        (step[after], value[after]),
        mixture,
        _line(of, baseline),
        [_line(of, name) for name in experts],
        (mixture[0], low, high) if len(low) else None,
    )


def _line(rows: pd.DataFrame, series: str) -> tuple[Floats, Floats]:
    of = rows[rows["series"] == series].sort_values("step")
    return of["step"].to_numpy(np.float64), of["value"].to_numpy(np.float64)


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _example(found: Forecasting, horizon: int) -> Figures:
    rows = found.of_chosen(found.example, horizon)
    window = rows["window"].iloc[0]
    rows = rows[rows["window"] == window]
    channels = [str(channel) for channel in rows["channel"].unique()]
    unit, baseline = found.step.told(), "least_squares"
    pictures = [
        draw_forecast(channel, example_of(rows, channel, baseline), unit, label_of(baseline))
        for channel in channels[:_MOST_CHANNELS]
    ]
    of = f" Drawn are the first {_MOST_CHANNELS} of {len(channels)} channels." if len(channels) > _MOST_CHANNELS else ""
    caption = (
        f"{label_of(found.board.choices[horizon].chosen)}, first seed, in the unit of the data: the {window}. "
        f"Thin: what each expert alone would say; the router weighs them. Shaded: the {LEVEL} % interval.{of}"
    )
    return Figures(pictures, caption)


def _by_step(found: Forecasting, horizon: int) -> Picture:
    board, rows = found.board, found.steps[found.steps["horizon"] == horizon]
    choice = board.choices[horizon]
    fits = [name for name in (RIDGE, "least_squares") if name in board.baselines][:1]  # the ridge where there is one
    naive = [name for name in board.baselines if name not in (*RIDGES, *LEAST_SQUARES)]
    kinds: dict[str, Kind] = dict.fromkeys(naive, "naive")
    kinds |= dict(zip(naive, _NAIVE, strict=False))
    kinds |= {choice.chosen: "model", choice.twin: "twin", **dict.fromkeys(fits, "fit")}
    lines = []
    for method in (choice.chosen, choice.twin, *fits, *naive):
        of = rows[rows["method"] == method].sort_values("step")
        step, error = (of[name].to_numpy(np.float64) for name in ("step", "mse"))
        lines.append(StepErrors(label_of(method), kinds[method], step, error))
    return draw_errors_by_step(f"{horizon} steps ahead", lines)


def _ranking(board: Board, horizon: int, width: int) -> Picture:
    chosen, decimals = board.choices[horizon].chosen, error_decimals(board, horizon)
    rows = []
    for name in sorted([*board.models, *board.baselines], key=lambda name: board.mean(horizon, name)):
        points = board.points(horizon, name) if board.seeds > 1 else []
        mean = board.mean(horizon, name)
        role = "model" if name == chosen else "baseline"
        rows.append(RankingRow(label_of(name), role, points, mean, shown(mean, decimals)))
    return draw_ranking(f"{ahead(horizon)} ahead".capitalize(), "MSE, lower is better", rows, width=width)
