"""The section on deep ensembles: how many dense networks a point is worth, abstention, and what the seeds can show."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.bayes_moe.glossary import GLOSSARY, RAW, SCALED, in_unit
from pipeline.bayes_moe.metrics.power import smallest_difference
from pipeline.bayes_moe.plots.cost import Cost, draw_tradeoff
from pipeline.bayes_moe.report.abstention import RISK, abstention_table, risk_picture
from pipeline.bayes_moe.report.results import Moe
from pipeline.core.wording import counted
from pipeline.metrics.scoreboard import Scoreboard
from pipeline.plots.lines import Line, draw_lines
from pipeline.plots.theme import Picture
from pipeline.report.numbers import amount
from pipeline.report.page import Block, Cell, Figures, Section, Table
from pipeline.report.scores import decimals_for, shown, signed

_SCORES = ("accuracy", "nll", "brier", "ece", "aurc", "auroc", "corrupted_accuracy", "corrupted_nll")
_RAW = ("accuracy", "aurc", "auroc", "corrupted_accuracy")
_MOST_SEEDS = 30  # of the curve


def ensembles(moe: Moe) -> Section:
    """Deep-ensemble equivalents, risk against coverage, and the power of the comparison."""
    seen = moe.power.set_index("metric")
    blocks: list[Block] = [
        ensembles_table(moe.ensembles, moe.board),
        Figures(
            [_equivalents(moe), risk_picture(moe)],
            "Left: how many independently trained dense networks, averaged, have the likelihood of a method, against "
            "the arithmetic of all its passes; lines: 95 % intervals over test images, its seeds and the dense "
            f"networks. Of a method with noise, the average over passes is shown; in brackets, their number. Right: "
            f"{RISK}",
        ),
        abstention_table(moe.abstention, moe.board),
    ]
    if len(seen):
        blocks += [
            Figures(
                [_power(moe, metric) for metric in seen.index],
                f"The smallest true difference between {moe.label(moe.chosen)} and {moe.label(moe.twin)} that the "
                "test behind the verdict finds in four of five cases with so many seeds and these images, by the "
                "spread of the differences over seeds and images, and the difference that was seen.",
                small=True,
            ),
            power_table(moe),
        ]
    return Section("In deep-ensemble equivalents", "ensembles", _lead(moe), blocks)


def worth(moe: Moe, point: str) -> str:
    """The equivalents of a point in words: at most what the ensembles reach."""
    of = moe.ensembles[moe.ensembles["samples"] == 0].set_index("point").loc[point]
    most = moe.largest_ensemble(moe.twin_of(point))
    return worth_in_words(of, most)


def worth_in_words(of: Any, most: int) -> str:
    """Of a row of a table, with `equivalents`, `low` and `high`, beside ensembles of up to so many networks."""
    value, low, high = (shown(float(of[name]), 1) for name in ("equivalents", "low", "high"))
    least = "at least " if float(of["equivalents"]) >= most else ""
    return f"{least or ('at most ' if float(of['equivalents']) <= 1 else '')}{value} (95 % interval {low} to {high})"


def ensembles_table(frame: pd.DataFrame, board: Scoreboard) -> Table:
    """Every ensemble of dense networks, and every other point, alone and averaged over passes, at its cost."""
    rows = []
    metrics = [in_unit(GLOSSARY.metric(name), RAW if name in _RAW else SCALED) for name in _SCORES]
    digits = [decimals_for(frame[name].tolist()) for name in _SCORES]
    for of in frame.to_dict("records"):
        exact = np.isnan(of["low"])  # ensembles of the twin, which the others are measured by
        equivalents = shown(of["equivalents"], 0 if exact else 1)
        remark = "" if exact else f"{shown(of['low'], 1)} to {shown(of['high'], 1)}"
        scores = [Cell(shown(of[name], places)) for name, places in zip(_SCORES, digits, strict=True)]
        rows.append([Cell(_name(board, of)), Cell(equivalents, remark=remark), *scores, Cell(amount(of["flops"]))])
    header = ["method", "DEE ↑", *(metric.heading for metric in metrics), "active FLOPs"]
    caption = (
        "DEE: deep-ensemble equivalents, the number of dense networks whose averaged probabilities have the scaled NLL "
        "of this row, with its 95 % interval over test images, its seeds and the dense networks: the sizes whose NLL "
        "is not told apart from it. 1 where a single one has it, or a lower one, and no more than the seeds. Ensembles "
        "and averages over passes are scaled by a temperature of their own. Scores of ensembles are means over the "
        "choices of networks. Corrupted: means over all kinds and severities, with the temperature of the images as "
        "they are. FLOPs per image, of all networks and passes; what lies before the noise is computed once."
    )
    return Table(header, rows, caption)


def power_table(moe: Moe) -> Table:
    """What the seeds can show of each decisive score."""
    rows = []
    for of in moe.power.to_dict("records"):
        metric = in_unit(GLOSSARY.metric(of["metric"]), of["kind"])
        digits = decimals_for([of["difference"], of["smallest"]])
        needed = "none" if np.isnan(of["needed"]) else f"{of['needed']:,.0f}"
        values = [
            signed(of["difference"], digits),
            *(shown(of[name], digits) for name in ("deviation", "floor", "smallest")),
        ]
        rows.append([Cell(metric.label), *map(Cell, values), Cell(needed)])
    header = [
        "score",
        "difference",
        "standard deviation over seeds",
        "over images",
        "smallest that is found",
        "seeds for this one",
    ]
    caption = (
        f"{moe.label(moe.chosen)} minus {moe.label(moe.twin)}, {counted(moe.seeds, 'seed')}: the smallest difference "
        "that is found at 5 % with a chance of 80 %, that is, that the verdict's interval excludes 0; and the seeds "
        "that would find the difference that was seen. More seeds do not take away what test images add to its spread: "
        "“none” where that alone hides the difference, or more than 10,000 would be needed."
    )
    return Table(header, rows, caption)


def _lead(moe: Moe) -> str:
    said = f"{moe.quoted(moe.chosen)} is worth {worth(moe, moe.chosen)} dense networks{_beside(moe)}."
    nll = moe.power[moe.power["metric"] == "nll"]
    if not len(nll):
        return f"{said} One seed says nothing about what another would show."
    of = nll.iloc[0]
    digits = decimals_for([of["difference"], of["smallest"]])
    return (
        f"{said} {counted(moe.seeds, 'seed')} find a difference in scaled NLL of {shown(of['smallest'], digits)} or "
        f"more; {shown(abs(of['difference']), digits)} was seen."
    )


def _beside(moe: Moe) -> str:
    """What the dense baselines and the averages over passes with noise are worth."""
    rows = moe.ensembles[[moe.twin_of(str(point)) == moe.twin != point for point in moe.ensembles["point"]]]
    averaged = set(rows.loc[rows["samples"] > 0, "point"])
    said = [
        f"“{_name(moe.board, of)}” {shown(of['equivalents'], 1)}"
        for of in rows.to_dict("records")
        if of["samples"] or (of["point"] not in moe.sparse and of["point"] not in averaged)
    ]
    return f"; beside it, {', '.join(said)}" if said else ""


def _equivalents(moe: Moe) -> Picture:
    rows = moe.ensembles[[moe.twin_of(str(point)) == moe.twin for point in moe.ensembles["point"]]]
    averaged = set(rows.loc[rows["samples"] > 0, "point"])
    points = []
    for of in rows.to_dict("records"):
        point, label = str(of["point"]), _name(moe.board, of)
        if of["samples"]:
            label = f"{moe.label(point)} ({of['samples']})"
        if not of["samples"] and point in averaged and point != moe.chosen:
            continue
        interval = None if np.isnan(of["low"]) else (of["low"], of["high"])
        points.append(Cost(label, moe.role(point), of["flops"], of["equivalents"], None, interval))
    return draw_tradeoff("Deep-ensemble equivalents", "DEE, higher is better", points)


def _name(board: Scoreboard, of: Mapping[Any, Any]) -> str:
    """What is averaged, in a few words."""
    method = board.method(str(of["point"]))
    if of["samples"]:
        return f"{method.label}, {counted(of['samples'], 'route' if method.role == 'model' else 'dropout mask')}"
    return method.label if of["networks"] == 1 else f"{of['networks']} x {method.label}"


def power_lines(of: Mapping[Any, Any], most: int) -> list[Line]:
    """Of a row of `Moe.power`: the smallest difference that 2 to so many seeds find, and the one that was seen."""
    seeds = np.arange(2, most + 1, dtype=np.float64)
    smallest = [smallest_difference(float(of["deviation"]), int(count), float(of["floor"])) for count in seeds]
    observed = np.full(len(seeds), abs(float(of["difference"])))
    return [
        Line("smallest found", "model", [(seeds, np.array(smallest))]),
        Line("seen", "baseline", [(seeds, observed)]),
    ]


def _power(moe: Moe, metric: str) -> Picture:
    of = moe.power[moe.power["metric"] == metric].iloc[0].to_dict()
    title = in_unit(GLOSSARY.metric(metric), str(of["kind"])).label
    lines = power_lines(of, max(_MOST_SEEDS, moe.seeds))
    return draw_lines(f"Difference in {title}", "seeds", lines, logarithmic=True)
