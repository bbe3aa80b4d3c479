"""The chapter on the experts of a forecasting mixture: when each is asked, how much, and what fewer of them cost."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from pipeline.core.wording import counted
from pipeline.mole.glossary import MSE, ahead, label_of
from pipeline.mole.plots.specialisation import draw_weights
from pipeline.mole.report.results import Forecasting
from pipeline.mole.report.tables import reduced_table
from pipeline.plots.experts import draw_usage
from pipeline.plots.lines import Line, draw_lines
from pipeline.plots.scatter import Floats
from pipeline.plots.theme import PANEL_WIDTH, Picture
from pipeline.report.page import Block, Figures, Heading, Section
from pipeline.report.scores import joined, shown, signed

ALL = "all"  # the mean over channels
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NAMES: Mapping[str, Sequence[str]] = {
    "hour": [str(hour) for hour in range(24)],
    "weekday": _WEEKDAYS,
    "month": _MONTHS,
}
_SEVERAL = {"hour": "hours of the day", "weekday": "weekdays", "month": "months"}


def specialisation(found: Forecasting) -> Section:
    """Heatmaps of weights, usage, and errors with fewer experts, of the chosen mixture at the shortest horizon."""
    board = found.board
    horizon = board.horizons[0]
    name = label_of(board.choices[horizon].chosen)
    channel = most_moved(found, horizon)
    places = [ALL, *([channel] if channel != ALL else [])]
    blocks: list[Block] = [
        Figures(
            [_weights(found, horizon, by, place) for place in places for by in judged_parts(found, horizon)],
            f"{name}, {ahead(horizon)} ahead, first seed: mean weight of each expert over the test windows of then (in "
            "per cent), by the first row of a window or, of cycles, the first that is forecast. The router sees "
            "nothing but the time; a channel has weights of its own. The numbers of experts mean nothing across seeds.",
        ),
        Figures(
            [_usage(found, horizon, "weight", "mean weight"), _usage(found, horizon, "top", "share it weighs most in")],
            "Experts ranked within each seed, with the standard deviation over seeds and a dot per seed. Left: mean "
            "weight; right: the share of windows and channels in which an expert weighs most. An expert below the "
            "limit, a quarter of the fair share, hardly serves.",
        ),
        Heading("With fewer experts"),
        Figures(
            [_reduced(found, horizon) for horizon in board.horizons],
            "Test error of the trained mixture when it keeps fewer experts; nothing is trained again. Thick: means "
            "over seeds; thin: each seed; grey: least squares.",
        ),
        *(reduced_table(found, horizon) for horizon in board.horizons),
    ]
    return Section("When which expert is asked", "specialisation", in_words(found), blocks)


def in_words(found: Forecasting) -> str:
    """How far weights move with the time, how much is used, and what half of the experts cost: numbers only."""
    horizon = found.board.horizons[0]
    moves = [
        f"{shown(100 * swing(found, horizon, by, ALL), 0)} percentage points over the {_SEVERAL[by]}"
        for by in judged_parts(found, horizon)
    ]
    usage = found.of_chosen(found.usage, horizon)
    ranked = [np.sort(of["weight"].to_numpy(np.float64))[::-1] for _, of in usage.groupby("seed")]
    most, least = (float(np.mean([of[place] for of in ranked])) for place in (0, -1))
    fair = 1 / found.experts(found.board.choices[horizon].chosen)
    sentences = [
        f"In {label_of(found.board.choices[horizon].chosen)}, {ahead(horizon)} ahead, the weight of an expert moves by "
        f"up to {joined(moves)} (mean over channels, first seed).",
        f"The most used expert has {shown(100 * most, 0)} % of the weight and the least used {shown(100 * least, 0)} % "
        f"(a fair share is {shown(100 * fair, 0)} %).",
        _cost_of_half(found, horizon),
        _known_regimes(found, horizon),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def weights(found: Forecasting, horizon: int, by: str, channel: str) -> tuple[Floats, list[int]]:
    """Mean weights (E, V) of the first seed at each value of `by`, and the values. E: experts, V: values."""
    of = found.of_chosen(found.expert_weights, horizon)
    of = of[(of["seed"] == of["seed"].min()) & (of["by"] == by) & (of["channel"] == channel)]
    grid = of.pivot(index="expert", columns="value", values="weight").sort_index(axis=0).sort_index(axis=1)
    return grid.to_numpy(np.float64), [int(value) for value in grid.columns]


def swing(found: Forecasting, horizon: int, by: str, channel: str) -> float:
    """By how much, at most, the weight of one expert moves over the values."""
    weight_EV, _ = weights(found, horizon, by, channel)
    return float((weight_EV.max(1) - weight_EV.min(1)).max())


def most_moved(found: Forecasting, horizon: int) -> str:
    """The channel whose weights move most over the time; `ALL` where there are no single ones."""
    of = found.of_chosen(found.expert_weights, horizon)
    of = of[(of["seed"] == of["seed"].min()) & (of["channel"] != ALL)]
    if of.empty:
        return ALL
    weight = of.groupby(["by", "channel", "expert"], sort=False)["weight"]
    return str((weight.max() - weight.min()).groupby("channel", sort=False).max().idxmax())


def judged_parts(found: Forecasting, horizon: int) -> list[str]:
    """What of hour, weekday and month the weights were judged by."""
    judged = set(found.of_chosen(found.expert_weights, horizon)["by"])
    return [by for by in _NAMES if by in judged]


def _weights(found: Forecasting, horizon: int, by: str, channel: str) -> Picture:
    weight_EV, values = weights(found, horizon, by, channel)
    names = [_NAMES[by][value] for value in values]
    where = "mean over channels" if channel == ALL else channel
    return draw_weights(f"By {by}, {where}", f"{by} of the row that the router sees", weight_EV, names)


def _usage(found: Forecasting, horizon: int, column: str, what: str) -> Picture:
    rows = found.of_chosen(found.usage, horizon)
    share_RE = rows.pivot(index="seed", columns="expert", values=column).sort_index(axis=1).to_numpy(np.float64)
    return draw_usage(what[:1].upper() + what[1:], share_RE, what)


def _reduced(found: Forecasting, horizon: int) -> Picture:
    rows = found.of_chosen(found.reduced, horizon)
    of_way = {way: _by_seed(rows[rows["way"] == way]) for way in ("prune", "top_k")}
    lines = [Line("pruned", "model", of_way["prune"])] if of_way["prune"] else []
    lines += [Line("top k", "other", of_way["top_k"])] if of_way["top_k"] else []
    kept = np.array(sorted(rows["experts"].unique()), np.float64)
    fit = found.board.mean(horizon, "least_squares", MSE) if "least_squares" in found.board.baselines else None
    lines += [] if fit is None else [Line("least squares", "baseline", [(kept, np.full(len(kept), fit))])]
    return draw_lines(f"MSE, {ahead(horizon)} ahead", "experts kept", lines, PANEL_WIDTH, dots=True)


def _by_seed(rows: pd.DataFrame) -> list[tuple[Floats, Floats]]:
    return [
        (of["experts"].to_numpy(np.float64), of["mse"].to_numpy(np.float64))
        for _, of in rows.sort_values("experts").groupby("seed")
    ]


def _known_regimes(found: Forecasting, horizon: int) -> str:
    """By how much weights differ between the regimes that a channel was simulated with, and between the same days in
    channels without one, where they should not; empty where no regime that follows the calendar is known."""
    truth = found.source.get("truth") or {}
    dusk, dawn = truth.get("night", (0, 0))
    inside = {
        "weekend": ("weekday", {5, 6}),
        "night": ("hour", {(dusk + hour) % 24 for hour in range((dawn - dusk) % 24)}),
    }
    regimes = {name: one["regime"] for name, one in truth.get("regimes", {}).items()}
    gaps = {name: regime_gap(found, horizon, name, *inside[kind]) for name, kind in regimes.items() if kind in inside}
    if not gaps:
        return ""
    said = [f"{shown(100 * gap, 0)} percentage points in {name} ({regimes[name]})" for name, gap in gaps.items()]
    others = [name for name in found.source["channels"] if regimes.get(name) != "weekend"]
    control = max((regime_gap(found, horizon, name, *inside["weekend"]) for name in others), default=0.0)
    return (
        f"Between the known regimes the weights of experts differ by {joined(said)}; between weekends and other days, "
        f"in channels without such a regime, by at most {shown(100 * control, 0)}."
    )


def regime_gap(found: Forecasting, horizon: int, channel: str, by: str, inside: Collection[int]) -> float:
    """The largest difference of an expert's mean weight at these hours or weekdays and at all others: 1 where other
    experts serve them, 0 where the same do."""
    weight_EV, values = weights(found, horizon, by, channel)
    inside_V = np.isin(values, list(inside))
    return float(np.abs(weight_EV[:, inside_V].mean(1) - weight_EV[:, ~inside_V].mean(1)).max())


def _cost_of_half(found: Forecasting, horizon: int) -> str:
    """What pruning to half of the experts does to the error; empty where that was not tried."""
    rows = found.of_chosen(found.reduced, horizon)
    half = found.experts(found.board.choices[horizon].chosen) // 2
    kept = rows[(rows["way"] == "prune") & (rows["experts"] == half)]
    if kept.empty:
        return ""
    change = 100 * (float(kept["mse"].mean()) / found.board.mean(horizon, found.board.choices[horizon].chosen) - 1)
    return f"Pruned to its {counted(half, 'expert')} of most weight, its test MSE changes by {signed(change, 1)} %."
