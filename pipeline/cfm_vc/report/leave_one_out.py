"""The section on measured cells: each cell type held out in turn, and an ablation."""

import pandas as pd

from pipeline.cfm_vc.decisive import decisive, key_metrics
from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.cfm_vc.report.results import LeaveOneOut
from pipeline.metrics.glossary import Metric
from pipeline.metrics.verdict import compare
from pipeline.plots.ranking import RankingRow, draw_ranking
from pipeline.plots.theme import Picture
from pipeline.report.leaderboard import unit_table
from pipeline.report.origin import origin
from pipeline.report.page import Block, Cell, Facts, Figures, Heading, Section, Table
from pipeline.report.ranking import rankings
from pipeline.report.scores import decimals_for, joined, shown, verdict

_INTERVAL = (
    "95 % intervals by Student's t: within a group over seeds; for the average over groups, from their means over "
    "seeds."
)


def leave_one_out(found: LeaveOneOut) -> Section:
    """The ranking, the scores of each group, the ablation, and its provenance."""
    board = found.board
    which = "the same cells as in this run" if found.study.of_this_run else "other cells than in this run"
    lead = f"{found.study.title}, {which}. {_average(found)} {_by_group(found)} {_INTERVAL}"
    dots = "Small dots: one held-out group and seed each; large dots: means. Blue: split-half ceiling."
    blocks: list[Block] = [
        rankings(board, key_metrics(board), f"{dots} Hollow: controls."),
        *(
            unit_table(
                board,
                metric,
                f"{metric.label}: mean ± standard deviation over seeds (none if all seeds agree); {metric.direction}.",
            )
            for metric in decisive(board)
        ),
        Heading("Ablation: what each part of an effect's size adds"),
        Figures(
            [_ladder(found, metric) for metric in _ablated(found)[:2]],
            "Ablation, adding one component at a time; grey: the best baseline. Small dots: single predictions; large "
            "dots: means.",
        ),
        _steps(found),
        Heading("Provenance"),
        Facts(origin(found.study.about), small=True),
    ]
    anchor = f"leave-one-out-{found.study.name}"
    return Section("Measured cells: leave one cell type out", anchor, lead, blocks)


def _average(found: LeaveOneOut) -> str:
    seeds = len(found.board.seeds)
    where = (
        f"On average over {len(found.board.units)} groups, each held out in turn with {seeds} seed{'s' * (seeds > 1)}"
    )
    return verdict(where, found.board.model.label, found.comparisons)


def _by_group(found: LeaveOneOut) -> str:
    """How it stands in each group."""
    board = found.board
    parts = []
    for metric in decisive(board):
        standings = {unit: compare(board, metric, unit).standing for unit in board.units}
        ahead = [unit for unit in board.units if standings[unit] == "ahead"]
        said = [f"ahead of every baseline in {len(ahead)} of {len(board.units)} groups"]
        for word in ("level", "behind"):
            names = [unit for unit in board.units if standings[unit] == word]
            said += [f"{word} in {joined(names)}"] if names else []
        parts.append(f"By {metric.label} it is {joined(said)}.")
    return " ".join(parts)


def _ablated(found: LeaveOneOut) -> list[Metric]:
    """The metrics of the ablation, the decisive ones first."""
    present = [GLOSSARY.metric(name) for name in found.ablation["metric"].unique()]
    return [metric for metric in key_metrics(found.board) if metric in present]


def _ladder(found: LeaveOneOut, metric: Metric) -> Picture:
    """A row per variant in file order, and the best baseline among them."""
    rows = found.ablation[found.ablation["metric"] == metric.name]
    values = {str(v): rows.loc[rows["variant"] == v, "value"].dropna().tolist() for v in rows["variant"].unique()}
    means = {variant: sum(points) / len(points) if points else None for variant, points in values.items()}
    decimals = decimals_for(list(means.values()))
    baselines = [method.label for method in found.board.baselines if method.label in values]
    first = metric.best(means[variant] for variant in baselines)
    rival = next((variant for variant in baselines if means[variant] == first), None)
    return draw_ranking(
        metric.label,
        metric.direction,
        [
            RankingRow(v, "baseline" if v == rival else "variant", values[v], mean, shown(mean, decimals))
            for v, mean in means.items()
            if v == rival or v not in baselines
        ],
    )


def _steps(found: LeaveOneOut) -> Table:
    """A row per variant and baseline: means over all predictions, and their standard deviation over seeds."""
    by_seed = found.ablation.groupby(["metric", "variant", "seed"])["value"].mean()
    means, deviations = by_seed.groupby(level=[0, 1]).mean(), by_seed.groupby(level=[0, 1]).std()
    metrics = _ablated(found)
    variants = list(found.ablation["variant"].unique())

    def value(metric: Metric, variant: str) -> float | None:
        mean = means.get((metric.name, variant))
        return None if mean is None or pd.isna(mean) else float(mean)

    decimals = {metric: decimals_for([value(metric, variant) for variant in variants]) for metric in metrics}
    first = {metric: metric.best(value(metric, variant) for variant in variants) for metric in metrics}

    def cell(metric: Metric, variant: str) -> Cell:
        deviation = deviations.get((metric.name, variant))
        spread = f"± {shown(float(deviation), decimals[metric])}" if deviation and deviation > 0 else ""
        text = shown(value(metric, variant), decimals[metric])
        return Cell(text, best=value(metric, variant) == first[metric], remark=spread)

    rows = [[Cell(str(v)), *(cell(metric, v) for metric in metrics)] for v in variants]
    header = ["variant", *(metric.heading for metric in metrics)]
    return Table(header, rows, f"Means over the held-out groups{_over_seeds(found.ablation)}.")


def _over_seeds(rows: pd.DataFrame) -> str:
    seeds = rows["seed"].nunique()
    return f" ± standard deviation over {seeds} seeds" if seeds > 1 else ", with one seed"
