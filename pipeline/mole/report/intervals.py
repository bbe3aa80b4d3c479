"""The chapter on prediction intervals: what they cover, by step ahead and hour of the day, and what they are worth."""

from collections.abc import Sequence

import numpy as np

from pipeline.metrics.mean_interval import mean_interval
from pipeline.mole.data.ridge_choice import RIDGE, RIDGES
from pipeline.mole.glossary import (
    COVERAGE,
    CRPS,
    INTERVAL_SCORE,
    LEVEL,
    SPLIT_COVERAGE,
    SPLIT_CRPS,
    WIDTH,
    ahead,
    label_of,
    unit_of,
)
from pipeline.mole.report.board import Board
from pipeline.mole.report.results import Forecasting
from pipeline.plots.lines import Line, Role, draw_lines
from pipeline.plots.theme import PANEL_WIDTH, Picture
from pipeline.report.page import Block, Cell, Figures, Section, Table
from pipeline.report.scores import decimals_for, joined, shown, signed
from pipeline.report.spreads import Spread, spread_cell

ANCHOR = "prediction-intervals"
_MEASURES = (COVERAGE, WIDTH, INTERVAL_SCORE, CRPS, SPLIT_COVERAGE, SPLIT_CRPS)
_AXES = {"step": "step ahead", "hour": "hour of the forecast row"}


def intervals(found: Forecasting) -> Section | None:
    """None where no interval could be calibrated."""
    board = found.board
    if found.coverage.empty:
        return None
    horizons = [horizon for horizon in board.horizons if horizon in set(found.coverage["horizon"])]
    axes = [by for by in _AXES if by in set(found.coverage["by"])]
    blocks: list[Block] = [
        Figures(
            [_coverage(found, horizon, by) for horizon in horizons for by in axes],
            f"Share of the truths inside {LEVEL} % intervals, over all test windows and channels; {LEVEL} % is what "
            "they say. Orange: the mixture that validation chose, mean over seeds; grey: the ridge.",
        ),
        *(interval_table(board, horizon) for horizon in horizons),
    ]
    return Section("Prediction intervals", ANCHOR, intervals_in_words(found), blocks)


def intervals_in_words(found: Forecasting) -> str:
    """How much the intervals of what is used cover, and their CRPS beside those of the ridge; empty where there are
    none."""
    board, parts = found.board, []
    mixtures = all(choice.preferred == choice.chosen for choice in board.choices.values())
    for horizon in board.horizons:
        used = board.choices[horizon].preferred
        rows = found.coverage[found.coverage["horizon"] == horizon]
        rows = rows[rows["method"] == used]
        if rows.empty:
            continue
        ours = _spread(board, horizon, used, COVERAGE.name)
        ends = []
        for by, word in (("step", "steps"), ("hour", "hours of the day")):
            share = rows[rows["by"] == by]["coverage"]
            if len(share):
                ends.append(f"{100 * share.min():.1f} to {100 * share.max():.1f} % over {word}")
        whose = "" if mixtures else f" of {label_of(used)}"
        of_blocks = rows[rows["by"] == "block"]["coverage"].tolist()
        if len(of_blocks) > 1:
            ends.append(f"95 % interval over {len(of_blocks)} blocks of test windows {_interval(of_blocks)}")
        covered = f"{100 * (ours.mean or 0):.1f} %{whose} at {ahead(horizon)} ({', '.join(ends)})"
        parts.append(f"{covered}, CRPS {_beside_ridge(board, horizon)}")
    if not parts:
        return ""
    return f"{LEVEL} % intervals of {'the chosen mixture' if mixtures else 'what is used'} cover {'; '.join(parts)}."


def _interval(shares: Sequence[float]) -> str:
    """That of their mean, in percent: how far other stretches of the series would move it."""
    _, low, high = mean_interval(shares)
    return f"[{100 * max(low, 0):.1f}, {100 * min(high, 1):.1f}]"


def _beside_ridge(board: Board, horizon: int) -> str:
    """The CRPS of what is used against the ridges', with intervals of the same kind and with plain split-conformal
    ones of the ridge."""
    used = board.choices[horizon].preferred
    chosen = _spread(board, horizon, used, CRPS.name).mean
    judged = [name for name in RIDGES if name != used and (unit_of(horizon), name, CRPS.name) in board.scores.rows]
    rivals = {f"the {label_of(name)}'s": _spread(board, horizon, name, CRPS.name).mean for name in judged}
    whose = "its" if used == RIDGE else "the ridge's"
    rivals[f"{whose} plain split-conformal"] = _spread(board, horizon, RIDGE, SPLIT_CRPS.name).mean
    said = [
        f"{name} {shown(value, 4)} ({signed(100 * (chosen / value - 1), 1)} %)"
        for name, value in rivals.items()
        if value is not None and chosen is not None
    ]
    return f"{shown(chosen, 4)} against {joined(said)}" if said else shown(chosen, 4)


def interval_table(board: Board, horizon: int) -> Table:
    """A row per method whose intervals were judged."""
    chosen = board.choices[horizon].chosen
    names = [
        name for name in (chosen, *RIDGES, "seasonal_naive") if (unit_of(horizon), name, CRPS.name) in board.scores.rows
    ]
    judged = {(name, metric) for unit, name, metric in board.scores.rows if unit == unit_of(horizon)}
    measures = [measure for measure in _MEASURES if any((name, measure.name) in judged for name in names)]
    rows = []
    for name in names:
        cells = []
        for measure in measures:
            values = [_spread(board, horizon, other, measure.name).mean for other in names]
            best = measure.best(values)
            cells.append(
                spread_cell(_spread(board, horizon, name, measure.name), min(4, decimals_for([best]) + 1), best)
            )
        rows.append([Cell(label_of(name)), *cells])
    header = [f"{ahead(horizon)} ahead", *(measure.heading for measure in measures)]
    caption = "On all test windows, of scaled values. "
    if SPLIT_CRPS in measures:
        caption += (
            "Last two columns: plain split-conformal intervals, quantiles of the errors on validation rows, which do "
            "not follow the season or a change of level."
        )
    else:
        caption += "Plain split-conformal intervals take more windows than the validation rows have."
    return Table(header, rows, caption)


def _spread(board: Board, horizon: int, method: str, metric: str) -> Spread:
    if metric not in {one.name for one in board.scores.metrics}:
        return Spread(None, None)
    found = board.scores.estimate(board.scores.method(method), board.scores.metric(metric), unit_of(horizon))
    return Spread(found.value, found.deviation)


def _coverage(found: Forecasting, horizon: int, by: str) -> Picture:
    chosen = found.board.choices[horizon].chosen
    rows = found.coverage[(found.coverage["horizon"] == horizon) & (found.coverage["by"] == by)]
    roles: dict[str, Role] = {chosen: "model", RIDGE: "baseline"}
    lines = []
    for method, role in roles.items():
        of = rows[rows["method"] == method].sort_values("value")
        if len(of):
            place, share = of["value"].to_numpy(np.float64), 100 * of["coverage"].to_numpy(np.float64)
            lines.append(Line(label_of(method), role, [(place, share)]))
    return draw_lines(f"Coverage (%), {ahead(horizon)} ahead", _AXES[by], lines, PANEL_WIDTH)
