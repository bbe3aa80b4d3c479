"""The tables of the sweep: every point beside its dense twin."""

from collections.abc import Sequence

from pipeline.bayes_moe.report.names import (
    ACCURACY,
    ADAPTIVE,
    AUROC,
    BRIER,
    CLASSWISE,
    ECE,
    FPR95,
    NLL,
    label_of,
    shape_of,
)
from pipeline.bayes_moe.report.results import RAW, SCALED, Moe
from pipeline.bayes_moe.report.verdict import difference_text, p_text, standing
from pipeline.report.numbers import amount, counted
from pipeline.report.page import Cell, Table
from pipeline.report.scores import decimals_for, signed
from pipeline.report.spreads import Measure, spread, spread_cell

Column = tuple[Measure, str]  # a score, raw or scaled

_MAIN: Sequence[Column] = ((ACCURACY, RAW), (NLL, RAW), (NLL, SCALED), (ECE, RAW), (ECE, SCALED))
_MORE: Sequence[Column] = tuple((measure, kind) for measure in (ADAPTIVE, CLASSWISE, BRIER) for kind in (RAW, SCALED))
_AWAY: Sequence[Column] = tuple(
    (measure, RAW)
    for measure in (
        Measure("corrupted_accuracy", "accuracy, corrupted", True),
        Measure("corrupted_nll", "NLL, corrupted", False),
        Measure("corrupted_ece", "ECE, corrupted", False),
        AUROC,
        FPR95,
    )
)
_COSTS = (("parameters", "activated_parameters"), ("flops", "activated_flops"))


def main_table(moe: Moe) -> Table:
    """Accuracy, NLL, ECE before and after temperature scaling, and what a picture costs."""
    caption = (
        f"Scores on {counted(moe.pictures, 'test picture')}, {_over_seeds(moe)}. ↑ higher is better, ↓ lower is "
        "better; ▸ and bold mark the best of each column"
        f"{' below each dense twin' if len(groups(moe)) > 1 else ''}. Scaled: after temperature scaling, which leaves "
        "accuracy as it is. Parameters and FLOPs per picture: activated, and of how many in all."
    )
    rows = _score_rows(moe, _MAIN, costs=True)
    return Table([*_header(_MAIN), "parameters", "FLOPs"], rows, caption)


def more_scores(moe: Moe) -> Table:
    """The other calibration errors and the Brier score."""
    rows = _score_rows(moe, _MORE)
    return Table(
        _header(_MORE),
        rows,
        f"Scores on the test pictures, {_over_seeds(moe)}.",
        folded="Adaptive and class-wise ECE, and the Brier score",
    )


def away_table(moe: Moe) -> Table:
    """Scores on corrupted pictures, and how well pictures of another kind are told from known ones."""
    caption = (
        f"Scores on pictures unlike those learned from, {_over_seeds(moe)}. Corrupted: means over all kinds and "
        "severities. AUROC and FPR95 ask whether the classifier is less sure of pictures of a kind that it has not "
        "learned from. AUROC: how often a known picture gets more confidence than a foreign one (0.5 is chance). "
        "FPR95: share of foreign pictures taken for known where 95 % of the known ones are."
    )
    return Table(_header(_AWAY), _score_rows(moe, _AWAY), caption)


def differences_table(moe: Moe, folded: bool = True) -> Table:
    """Each sparse point minus its dense twin, with interval and p."""
    columns = ((ECE, RAW), (ECE, SCALED), (NLL, RAW), (NLL, SCALED), (ACCURACY, RAW))
    header = ["sparse \N{MINUS SIGN} dense", *(_title(measure, kind) for measure, kind in columns)]
    rows = []
    decimals = {
        (measure, kind): decimals_for([moe.differences[point, kind, measure.name].value for point in moe.sparse])
        for measure, kind in columns
    }
    for point in moe.sparse:
        cells = []
        for measure, kind in columns:
            found, digits = moe.differences[point, kind, measure.name], min(4, decimals[measure, kind])
            sure = standing(measure, found) == "better"
            remark = f"{difference_text(found, digits)}, {p_text(found.p)}"
            cells.append(Cell(signed(found.value, digits), best=sure, remark=remark))
        rows.append([_name(moe, point), *cells])
    caption = (
        "Mean difference to the dense twin with its 95 % interval and p; ▸ and bold mark where the sparse point is "
        "better and the interval excludes 0. Several points are compared, so that some will look different by chance: "
        "about one interval in twenty excludes 0 where there is no difference."
    )
    return Table(header, rows, caption, folded="All differences with intervals and p" if folded else "")


def corruptions_table(moe: Moe) -> Table:
    """Accuracy and ECE of the chosen point and of its twin under each kind of corruption."""
    rows_of = moe.corruption
    pair = (moe.twin, moe.chosen)
    by_seed = rows_of.groupby(["point", "corruption", "seed"], sort=False)[["accuracy", "ece"]].mean()
    means, deviations = (getattr(by_seed.groupby(level=[0, 1], sort=False), how)() for how in ("mean", "std"))
    rows = []
    for kind in rows_of.loc[rows_of["point"] == moe.chosen, "corruption"].unique():
        cells = []
        for measure in (ACCURACY, ECE):
            values = [float(means.at[(point, kind), measure.name]) for point in pair]
            best = measure.best(values)
            for point, value in zip(pair, values, strict=True):
                deviation = float(deviations.at[(point, kind), measure.name])
                remark = "" if deviation != deviation else f"± {deviation:.3f}"
                cells.append(Cell(f"{value:.3f}", best=value == best, remark=remark))
        rows.append([Cell(str(kind).replace("_", " ")), *cells])
    header = [
        "corruption",
        *(f"{m.label}, {label_of(point)}\N{NO-BREAK SPACE}{m.arrow}" for m in (ACCURACY, ECE) for point in pair),
    ]
    caption = f"Means over all {rows_of['severity'].nunique()} severities, {_over_seeds(moe)}."
    return Table(header, rows, caption, folded="By kind of corruption")


def sampled_table(moe: Moe) -> Table:
    """Scores of averages over sampled routes: a block per point, a row per number of routes."""
    measures = (ACCURACY, NLL, ECE)
    rows = []
    for point, of_point in moe.sampled.groupby("point", sort=False):
        rows.append([Cell(label_of(str(point)))])
        for number, of_number in of_point.groupby("samples"):
            found = [spread(tuple(of_number[m.name])) for m in measures]
            routes = counted(int(str(number)), "sampled route") if number else "the route without noise"
            cells = [spread_cell(one, 4) for one in found]
            rows.append([Cell(routes), *cells, Cell(amount(float(of_number["flops"].iloc[0])))])
    header = ["point", *(m.heading for m in measures), "activated FLOPs"]
    return Table(header, rows, f"Scores on the test pictures, {_over_seeds(moe)}.", folded="Sampled routes as a table")


def groups(moe: Moe) -> dict[str, list[str]]:
    """Each dense twin with its points, itself first."""
    found: dict[str, list[str]] = {}
    for point in moe.points.index:
        found.setdefault(moe.twin_of(point), []).append(point)
    return {twin: sorted(points, key=lambda point: point != twin) for twin, points in found.items()}


def _score_rows(moe: Moe, columns: Sequence[Column], costs: bool = False) -> list[list[Cell]]:
    decimals = {
        (m, kind): min(4, decimals_for([moe.spread(point, m.name, kind).mean for point in moe.points.index]))
        for m, kind in columns
    }
    rows = []
    grouped = groups(moe)
    for twin, points in grouped.items():
        if len(grouped) > 1:
            rows.append([Cell(f"Network in the {moe.points.at[twin, 'place']}")])
        best = {(m, kind): m.best([moe.spread(point, m.name, kind).mean for point in points]) for m, kind in columns}
        for point in points:
            cells = [
                spread_cell(moe.spread(point, m.name, kind), decimals[m, kind], best[m, kind]) for m, kind in columns
            ]
            if costs:
                cells += [
                    Cell(amount(moe.number(point, active)), remark=f"of {amount(moe.number(point, total))}")
                    for total, active in _COSTS
                ]
            rows.append([_name(moe, point), *cells])
    return rows


def _name(moe: Moe, point: str) -> Cell:
    if point not in moe.sparse:
        return Cell(label_of(point), remark="dense twin" if moe.twin_of(point) == point else "dense")
    chosen = "; chosen on validation" if point == moe.chosen else ""
    return Cell(label_of(point), remark=f"{shape_of(moe, point)}{chosen}")


def _header(columns: Sequence[Column]) -> list[str]:
    return ["point", *(f"{_title(measure, kind)}\N{NO-BREAK SPACE}{measure.arrow}" for measure, kind in columns)]


def _title(measure: Measure, kind: str) -> str:
    return f"{measure.label}, scaled" if kind == SCALED else measure.label


def _over_seeds(moe: Moe) -> str:
    return f"mean ± standard deviation over {moe.seeds} seeds" if moe.seeds > 1 else "one seed"
