"""The tables on forecasts: every method at every horizon, channel by channel, and with fewer experts."""

from collections.abc import Mapping, Sequence

from pipeline.core.wording import counted
from pipeline.metrics.glossary import Metric
from pipeline.mole.data.ridge_choice import Offset, RidgeChoice
from pipeline.mole.glossary import MAE, MASE, MSE, SMAPE, VALIDATION, ahead, label_of
from pipeline.mole.report.board import Board
from pipeline.mole.report.results import Forecasting
from pipeline.report.numbers import amount
from pipeline.report.page import Cell, Table
from pipeline.report.scores import decimals_for, shown, signed
from pipeline.report.spreads import spread, spread_cell

MOST_LISTED = 50  # channels
_CHOSEN, _PREFERRED = "chosen", "preferred"
_SUBTRACTED: Mapping[Offset, str] = {"none": "nothing", "last": "last value", "mean": "mean of the lookback"}


def main_table(board: Board) -> Table:
    """A row per method, models first; MSE and MAE at each horizon."""
    columns = [(horizon, measure) for horizon in board.horizons for measure in (MSE, MAE)]
    rows = [
        [Cell(label_of(name)), *(_score(board, name, horizon, measure) for horizon, measure in columns)]
        for name in (*board.models, *board.baselines)
    ]
    windows = "; ".join(f"{board.windows[h]:,} windows at {ahead(h)}" for h in board.horizons)
    caption = (
        f"Errors on all test windows ({windows}), of scaled values{_over_seeds(board)}. ↓ lower is better; ▸ and bold "
        f"mark the best of each column. “{_CHOSEN}”: the mixture that validation windows chose for this horizon; that "
        "another one may be better on test windows is not known when choosing."
    )
    if any(choice.preferred != choice.chosen for choice in board.choices.values()):
        caption += f" “{_PREFERRED}”: what forecasts are made with in place of it."
    header = ["method", *(f"{m.label}, {h}\N{NO-BREAK SPACE}{m.arrow}" for h, m in columns)]
    return Table(header, rows, caption)


def units_table(board: Board) -> Table | None:
    """A row per method; MASE and sMAPE at each horizon. None of an older result, without them."""
    if not {MASE.name, SMAPE.name} <= {measure.name for measure in board.scores.metrics}:
        return None
    columns = [(horizon, measure) for horizon in board.horizons for measure in (MASE, SMAPE)]
    rows = [
        [Cell(label_of(name)), *(_score(board, name, horizon, measure) for horizon, measure in columns)]
        for name in (*board.models, *board.baselines)
    ]
    caption = (
        f"Errors on all test windows in the units of the data{_over_seeds(board)}. MASE: below 1 is better than the "
        "seasonal-naive forecast one season ahead on training rows. sMAPE: per cent; of values near 0 it says little."
    )
    header = ["method", *(f"{m.label}, {h}\N{NO-BREAK SPACE}{m.arrow}" for h, m in columns)]
    return Table(header, rows, caption, folded="In the series' own units: MASE and sMAPE")


def choice_table(board: Board) -> Table:
    """What the choice was made by: a row per mixture, under its horizon."""
    rows: list[list[Cell]] = []
    starts = list(next(iter(board.choices[board.horizons[0]].origins.values())))
    for horizon in board.horizons:
        choice = board.choices[horizon]
        preferred = choice.preferred
        rows.append([Cell(f"{ahead(horizon)} ahead")])
        for name, of in choice.origins.items():
            remark = _CHOSEN if name == choice.chosen else _PREFERRED if name == preferred else ""
            rows.append(
                [
                    Cell(label_of(name)),
                    *(Cell(f"{of[start]:.3f}", quiet=of[start] > 1) for start in starts),
                    Cell(f"{choice.relative_loss(name):.4f}", best=name == preferred, remark=remark),
                ]
            )
    header = ["method", *(f"from {start[:10]}" for start in starts), "geometric mean\N{NO-BREAK SPACE}↓"]
    caption = (
        "Validation error over that of least squares, both trained on the rows before the day named and judged on "
        "those from there on. The last of the days begins validation proper (mean over seeds); the others begin parts "
        "of train held out in turn (first seed). Above 1, in grey, least squares was better. Of a ridge it is the "
        "error of the settings that the other days choose, since those that were searched on the same rows look better "
        "than they are; the error of what starts from a ridge is as many times as large. The geometric mean chooses "
        "the mixture: one stretch of time may like best what does worst in the next."
    )
    if any(choice.preferred != choice.chosen for choice in board.choices.values()):
        caption += f" “{_PREFERRED}”: a ridge, which is used where the chosen mixture gains nothing clear over it."
    return Table(header, rows, caption, folded="Validation, by which the mixture was chosen")


def ridge_table(board: Board) -> Table | None:
    """What the search for the ridge chose, a row per horizon; None where none was searched."""
    rows = []
    for horizon, choice in board.choices.items():
        for name, maps in choice.ridges.items():
            loss = Cell(f"{choice.relative_loss(name):.4f}", best=name == choice.preferred)
            rows.append([Cell(f"{ahead(horizon)} ahead", remark=label_of(name)), *_settings(maps), loss])
    if not rows:
        return None
    header = ["ridge", "lookback (rows)", "subtracted", "penalty", "validation error\N{NO-BREAK SPACE}↓"]
    caption = (
        "What validation rows and earlier origins chose for the linear regression. Subtracted: from a window, and "
        "added to its forecast again. Penalty: over the mean eigenvalue of the windows' second moments. Validation "
        "error: over that of least squares, of the settings that the other origins choose, geometric mean. Per "
        "channel or static value: the least and the most of each one's own; networks start from the one of all "
        "channels, since their experts serve all."
    )
    return Table(header, rows, caption, folded="The ridge: what was searched and chosen")


def _settings(maps: Sequence[RidgeChoice]) -> list[Cell]:
    """Of one map, or the ends of those of several."""
    lookbacks, penalties = [one.lookback for one in maps], [one.penalty for one in maps]
    offsets = [_SUBTRACTED[offset] for offset in _SUBTRACTED if offset in {one.offset for one in maps}]
    texts = (
        " to ".join(dict.fromkeys(f"{end:,}" for end in (min(lookbacks), max(lookbacks)))),
        ", ".join(offsets),
        " to ".join(dict.fromkeys(f"{end:.2g}" for end in (min(penalties), max(penalties)))),
    )
    return [Cell(text) for text in texts]


def channel_table(found: Forecasting, horizon: int) -> Table:
    """One horizon, channel by channel: the chosen mixture, its twin and the baselines."""
    board = found.board
    choice = board.choices[horizon]
    methods = [choice.chosen, choice.twin, *board.baselines]
    rows_of = found.channels[found.channels["horizon"] == horizon]
    by_channel = {
        str(channel): {str(row["method"]): row for row in of.to_dict("records")}
        for channel, of in rows_of[rows_of["method"].isin(methods)].groupby("channel", sort=False)
    }
    rows = []
    for channel, of in list(by_channel.items())[:MOST_LISTED]:
        errors = {name: float(of[name]["mse"]) for name in methods if name in of}
        decimals = min(4, decimals_for([min(errors.values())]) + 1)
        cells = [
            Cell(
                shown(errors.get(name), decimals),
                best=name in errors and errors[name] == min(errors.values()),
                remark=f"MAE {shown(float(of[name]['mae']), decimals)}" if name in errors else "",
            )
            for name in methods
        ]
        rows.append([Cell(channel), *cells])
    header = [f"channel, MSE at {ahead(horizon)}\N{NO-BREAK SPACE}↓", *map(label_of, methods)]
    caption = (
        f"Means over all test {'windows, steps and seeds' if board.seeds > 1 else 'windows and steps'}; below, the MAE."
    )
    if len(by_channel) > MOST_LISTED:
        caption += f" Listed are the first {MOST_LISTED} of {len(by_channel):,} channels."
    return Table(header, rows, caption, folded=f"Channel by channel, {ahead(horizon)} ahead")


def size_table(found: Forecasting) -> Table:
    """Parameters and arithmetic of every point."""
    rows = []
    for point, of in found.points.groupby("point", sort=False):
        by_horizon = {int(row["horizon"]): row for row in of.to_dict("records")}
        experts = int(of["experts"].iloc[0])
        cells = [
            Cell(amount(float(by_horizon[h]["parameters"])), remark=f"{amount(float(by_horizon[h]['flops']))} FLOPs")
            if h in by_horizon
            else Cell("none", quiet=True)
            for h in found.board.horizons
        ]
        rows.append([Cell(label_of(str(point)), remark=counted(experts, "expert")), *cells])
    header = ["model", *(f"parameters, {h}" for h in found.board.horizons)]
    caption = (
        "Numbers of parameters, and below them arithmetic operations of one window, a multiply-add counting as two."
    )
    return Table(header, rows, caption, folded="What each model costs")


def reduced_table(found: Forecasting, horizon: int) -> Table:
    """The chosen mixture with fewer experts: what each way of having fewer does to the errors."""
    of = found.of_chosen(found.reduced, horizon)
    whole = _whole(found, horizon)
    rows = []
    for way, name in WAYS.items():
        of_way = of[of["way"] == way]
        if of_way.empty:
            continue
        rows.append([Cell(name)])
        for kept in sorted(of_way["experts"].unique(), reverse=True):
            at = of_way[of_way["experts"] == kept]
            cells = []
            for measure in (MSE, MAE, VALIDATION):
                values = spread(tuple(at.sort_values("seed")[measure.name]))
                cells.append(spread_cell(values, min(5, decimals_for([values.mean]) + 1)))
            change = 100 * (float(at["mse"].mean()) / whole - 1)
            rows.append([Cell(counted(int(kept), "expert")), *cells, Cell(f"{signed(change, 1)} %")])
    header = ["experts kept", *(m.heading for m in (MSE, MAE, VALIDATION)), "change of MSE"]
    caption = (
        f"{label_of(found.board.choices[horizon].chosen)}, {ahead(horizon)} ahead{_over_seeds(found.board)}; changes "
        "are to the whole mixture. Nothing is trained again."
    )
    return Table(header, rows, caption, folded=f"Fewer experts as a table, {ahead(horizon)} ahead")


WAYS: Mapping[str, str] = {
    "prune": "Pruned: the experts of least weight on validation windows are dropped",
    "top_k": "Top k: of all experts, only those of most weight answer",
}


def _whole(found: Forecasting, horizon: int) -> float:
    """The MSE of the whole mixture."""
    return found.board.mean(horizon, found.board.choices[horizon].chosen)


def _score(board: Board, name: str, horizon: int, measure: Metric) -> Cell:
    competing = [board.spread(horizon, other, measure).mean for other in (*board.models, *board.baselines)]
    decimals = min(4, decimals_for([measure.best(competing)]) + 1)
    cell = spread_cell(board.spread(horizon, name, measure), decimals, measure.best(competing))
    choice = board.choices[horizon]
    if name not in (choice.chosen, choice.preferred):
        return cell
    what = _CHOSEN if name == choice.chosen else _PREFERRED
    return Cell(cell.text, cell.best, remark=f"{cell.remark} {what}".strip())


def _over_seeds(board: Board) -> str:
    return f", mean ± standard deviation over {board.seeds} seeds" if board.seeds > 1 else ", one seed"
