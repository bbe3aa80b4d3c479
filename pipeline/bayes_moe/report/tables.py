"""The tables of the sweep: every point beside its dense twin."""

from collections.abc import Sequence
from statistics import fmean, stdev

import pandas as pd

from pipeline.bayes_moe.glossary import GLOSSARY, RAW, SCALED, in_unit
from pipeline.bayes_moe.report.results import Moe
from pipeline.core.wording import counted
from pipeline.metrics.glossary import Metric
from pipeline.metrics.scoreboard import Estimate
from pipeline.report.leaderboard import decimals, score_cells, uncertainty
from pipeline.report.numbers import amount
from pipeline.report.page import Cell, Table
from pipeline.report.scores import decimals_for, shown, signed

Column = tuple[str, str]  # a metric, raw or scaled

_MAIN: Sequence[Column] = (("accuracy", RAW), ("nll", RAW), ("nll", SCALED), ("ece", RAW), ("ece", SCALED))
_MORE: Sequence[Column] = tuple((m, unit) for m in ("adaptive_ece", "classwise_ece", "brier") for unit in (RAW, SCALED))
_UNLIKE: Sequence[Column] = tuple(
    (metric, RAW) for metric in ("corrupted_accuracy", "corrupted_nll", "corrupted_ece", "auroc", "fpr95")
)
_COSTS = (("parameters", "activated_parameters"), ("flops", "activated_flops"))


def main_table(moe: Moe) -> Table:
    """Accuracy, NLL, ECE before and after temperature scaling, and what an image costs."""
    caption = (
        f"Scores on {counted(moe.images, 'test image')}, {_over_seeds(moe)}. ↑ higher is better, ↓ lower is better; ▸ "
        f"and bold mark the best of each column{' in each place' if len(moe.groups) > 1 else ''}. Scaled: after "
        "temperature scaling, which leaves accuracy as it is. Parameters and FLOPs per image: active, and all."
    )
    return _score_table(moe, _MAIN, caption, costs=True)


def more_scores(moe: Moe) -> Table:
    """The other calibration errors and the Brier score."""
    caption = f"Scores on the test images, {_over_seeds(moe)}."
    return _score_table(moe, _MORE, caption, folded="Adaptive and class-wise ECE, and the Brier score")


def unlike_table(moe: Moe) -> Table:
    """Scores on corrupted images, and how well confidence tells out-of-distribution images from test images."""
    caption = (
        f"Scores on corrupted images, means over all kinds and severities, and detection of out-of-distribution images "
        f"by their lower confidence; {_over_seeds(moe)}."
    )
    return _score_table(moe, _UNLIKE, caption)


def differences_table(moe: Moe, folded: str = "All differences with their intervals") -> Table:
    """Each sparse point minus its dense twin, and minus the other dense points in its place."""
    pairs = [(point, dense) for point in moe.sparse for dense in moe.dense_beside(point)]
    rows = [[Cell(f"{moe.label(point)} \N{MINUS SIGN} {moe.label(dense)}")] for point, dense in pairs]
    for metric, unit in _MAIN:
        found = [moe.against(*pair, metric, unit) for pair in pairs]
        digits = decimals_for([one.difference.value for one in found])
        for row, one in zip(rows, found, strict=True):
            text = signed(one.difference.value or 0.0, digits)
            row.append(Cell(text, best=one.standing == "ahead", remark=uncertainty(one.difference, digits)))
    header = ["sparse \N{MINUS SIGN} dense", *(_metric(column).heading for column in _MAIN)]
    caption = (
        "Mean difference to the dense twin, and to the other dense points, with its 95 % interval; ▸ and bold mark "
        "where the sparse point is better and the interval excludes 0."
    )
    return Table(header, rows, caption, folded=folded)


def corruptions_table(moe: Moe) -> Table:
    """Accuracy and ECE of the chosen point and of its twin under each kind of corruption."""
    pair, metrics = (moe.chosen, moe.twin), [GLOSSARY.metric(name) for name in ("accuracy", "ece")]
    by_seed = moe.corruption.groupby(["corruption", "point", "seed"])[["accuracy", "ece"]].mean()
    rows = []
    for kind in moe.corruption["corruption"].unique():
        cells = [
            cell
            for metric in metrics
            for cell in _seed_cells([by_seed.xs((kind, point))[metric.name] for point in pair], metric, 3)
        ]
        rows.append([Cell(str(kind).replace("_", " ")), *cells])
    names = [f"{m.label}, {moe.label(point)}\N{NO-BREAK SPACE}{m.arrow}" for m in metrics for point in pair]
    caption = f"Means over all {moe.corruption['severity'].nunique()} severities, {_over_seeds(moe)}."
    return Table(["corruption", *names], rows, caption, folded="By kind of corruption")


def sampled_table(moe: Moe) -> Table:
    """Scores of averages over samples: a block per point, a row per number of them."""
    metrics = [GLOSSARY.metric(name) for name in ("accuracy", "nll", "ece")]
    rows = []
    for point, of_point in moe.sampled.groupby("point", sort=False):
        rows.append([Cell(moe.label(str(point)))])
        for number, of_number in of_point.groupby("samples"):
            passes = counted(int(str(number)), "sample") if number else "one pass without noise"
            cells = [_seed_cells([of_number[metric.name]], None, 4)[0] for metric in metrics]
            rows.append([Cell(passes), *cells, Cell(amount(float(of_number["flops"].iloc[0])))])
    header = ["point", *(metric.heading for metric in metrics), "active FLOPs"]
    return Table(header, rows, f"Scores on the test images, {_over_seeds(moe)}.", folded="Samples as a table")


def _score_table(moe: Moe, columns: Sequence[Column], caption: str, costs: bool = False, folded: str = "") -> Table:
    """A row per point, below its place where there are several."""
    rows = []
    for group in moe.groups:
        if len(moe.groups) > 1:
            rows.append([Cell(f"Network in the {moe.points.at[group.methods[0].name, 'place']}")])
        scores = [
            score_cells(group, group.methods, metric, unit, decimals(moe.board, metric, [unit]))
            for metric, unit in ((GLOSSARY.metric(name), unit) for name, unit in columns)
        ]
        for method, *cells in zip(group.methods, *scores, strict=True):
            if costs:
                cells += [
                    Cell(amount(moe.number(method.name, active)), remark=f"of {amount(moe.number(method.name, total))}")
                    for total, active in _COSTS
                ]
            rows.append([_name(moe, method.name), *cells])
    header = ["point", *(_metric(column).heading for column in columns), *(["parameters", "FLOPs"] if costs else [])]
    return Table(header, rows, caption, folded=folded)


def _name(moe: Moe, point: str) -> Cell:
    if point not in moe.sparse:
        return Cell(moe.label(point), remark=moe.dense_kind(point))
    shape = f"{moe.number_of_experts(point)} experts, {moe.number(point, 'top_k'):.0f} active"
    return Cell(moe.label(point), remark=shape + ("; chosen on validation" if point == moe.chosen else ""))


def _metric(column: Column) -> Metric:
    return in_unit(GLOSSARY.metric(column[0]), column[1])


def _seed_cells(values: Sequence["pd.Series[float]"], metric: Metric | None, digits: int) -> list[Cell]:
    """A cell for each: the mean over seeds and the deviation; the best is marked where a metric says which is."""
    means = [fmean(of) for of in values]
    best = metric.best(means) if metric else None
    return [
        Cell(
            shown(mean, digits),
            best=mean == best,
            remark=uncertainty(Estimate(deviation=stdev(of) if len(of) > 1 else None), digits),
        )
        for mean, of in zip(means, values, strict=True)
    ]


def _over_seeds(moe: Moe) -> str:
    return f"mean ± standard deviation over {moe.seeds} seeds" if moe.seeds > 1 else "one seed"
