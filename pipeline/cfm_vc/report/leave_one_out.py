"""The chapter on measured cells: each cell type held out in turn, and what each part of the model adds."""

import pandas as pd

from pipeline.cfm_vc.report.against_baselines import winners
from pipeline.cfm_vc.report.ranking import rankings
from pipeline.cfm_vc.report.results import LeaveOneOut
from pipeline.cfm_vc.report.scoreboard import Group, Scoreboard, group_name
from pipeline.metrics.ranking import best
from pipeline.plots.ranking import RankingRow, draw_ranking
from pipeline.plots.theme import Picture
from pipeline.report.names import Method, Metric, metric_of
from pipeline.report.page import Block, Cell, Facts, Figures, Heading, Section, Table
from pipeline.report.parameters import flattened
from pipeline.report.scores import decimals_for, joined, shown, verdict


def in_short(found: LeaveOneOut) -> str:
    """On how many of the groups the model is ahead of all baselines, and on average: for the middle of a line."""
    board, seeds = found.board, found.scores["seed"].nunique()
    standings = {metric: board.standings(metric) for metric in board.decisive}
    ahead = [list(by_group.values()).count("ahead") for by_group in standings.values()]
    both = sum(all(by_group[group] == "ahead" for by_group in standings.values()) for group in board.groups)
    counts = [f"on {n or 'none'} in {metric.label}" for n, metric in zip(ahead, standings, strict=True)]
    counts.append(f"on {both or 'none'} in both")
    rivals = len(board.baselines)
    average = verdict("On average", "it", [board.comparison(metric) for metric in board.decisive])
    return (
        f"of {len(board.groups)} {_called(board)}, each held out in turn with {seeds} seed{'s' * (seeds > 1)}, "
        f"{board.model.label} is ahead of "
        f"{'the one baseline' if rivals == 1 else f'all {rivals} baselines'} "
        f"{joined(counts)}. {average}"
    )


def leave_one_out(found: LeaveOneOut) -> Section:
    """The ranking, each group's scores, the ablation, and where all of it comes from."""
    board, said = found.board, in_short(found)
    lead = f"{found.about['title'].rstrip('.')}. {said[:1].upper()}{said[1:]} {_not_ahead(board)}".rstrip()
    dots = "Small dots: one cell type and seed each; large dots: means over both."
    blocks: list[Block] = [
        rankings(board, f"{dots} Blue: the split-half ceiling, and its range. Hollow: controls.", _points(found)),
        *(_table(found, metric) for metric in board.decisive),
        Heading("What each part adds"),
        Figures(
            [_ladder(found, metric) for metric in _ablated(found)[:2]],
            "Variants of the model in the order of its parts, and in grey the best baseline. Small dots: single "
            "predictions; large dots: their means.",
        ),
        _steps(found),
        Heading("How this was made"),
        Facts(
            [
                ("Command", found.about["command"]),
                ("Data's SHA-256", found.about["data_sha256"]),
                ("Commit", found.about["commit"]),
                ("Parameters", ", ".join(f"{k} {v}" for k, v in flattened(found.about["parameters"])) or "none"),
            ],
            small=True,
        ),
    ]
    return Section("Leave one cell type out", "leave-one-out", lead, blocks)


def _not_ahead(board: Scoreboard) -> str:
    """The groups where the model is level or behind, by name."""
    parts = []
    for metric in board.decisive:
        standings = board.standings(metric)
        for word in ("level", "behind"):
            names = [_short_name(board, group) for group in board.groups if standings[group] == word]
            parts += [f"{word} on {joined(names)} in {metric.label}"] if names else []
    return f"It is {'; '.join(parts)}." if parts else ""


def _short_name(board: Scoreboard, group: Group) -> str:
    return group[0] if _called(board) == "cell types" else group_name(group)


def _called(board: Scoreboard) -> str:
    """What the groups are, where they all have the same perturbation."""
    return "cell types" if len({perturbation for _, perturbation in board.groups}) == 1 else "held-out groups"


def _points(found: LeaveOneOut) -> dict[tuple[str, str], list[float]]:
    """The scores of all groups and seeds."""
    rows = found.scores.dropna(subset="value").groupby(["method", "metric"])["value"]
    given = {(str(method), str(metric)): values.tolist() for (method, metric), values in rows}
    board = found.board
    return {
        (m.name, metric.name): given.get((m.name, metric.name), []) for m in board.methods for metric in board.metrics
    }


def _table(found: LeaveOneOut, metric: Metric) -> Table:
    """Mean and standard deviation over seeds: a row per group and one for their mean, a column per method."""
    board, scores = found.board, found.scores
    rows_of_metric = scores[scores["metric"] == metric.name]
    by_group = rows_of_metric.groupby(["cell_type", "perturbation", "method"])["value"].std()
    over_groups = rows_of_metric.groupby(["method", "seed"])["value"].mean().groupby("method").std()
    means = board.means(metric)
    competing = [method for method in board.methods if method.role != "control"]
    decimals = decimals_for([board.estimate(group, m, metric).value for group in board.groups for m in competing])

    def cell(method: Method, value: float | None, deviation: float | None, first: set[str]) -> Cell:
        spread = f"± {shown(float(deviation), decimals)}" if deviation and deviation > 0 else ""
        quiet = method.role in ("ceiling", "control")
        return Cell(shown(value, decimals), best=method.name in first, quiet=quiet, remark=spread)

    rows = []
    for group in board.groups:
        values = board.of_group(group, metric)
        first = winners(values, metric)
        name = Cell(_short_name(board, group))
        rows.append([name, *(cell(m, v, by_group.get((*group, m.name)), first) for m, v in values.items())])
    first = winners(means, metric)
    rows.append([Cell("mean"), *(cell(m, v, over_groups.get(m.name), first) for m, v in means.items())])
    header = [f"{metric.label}\N{NO-BREAK SPACE}{metric.arrow}", *(method.label for method in board.methods)]
    caption = (
        f"{metric.label}: mean ± standard deviation over seeds (none: every seed gives the same); {metric.direction}."
    )
    return Table(header, rows, caption)


def _ablated(found: LeaveOneOut) -> list[Metric]:
    """The metrics of the ablation, the decisive ones first."""
    present = [metric_of(name) for name in found.ablation["metric"].unique()]
    decisive = [metric for metric in found.board.decisive if metric in present]
    return [*decisive, *(metric for metric in found.board.key if metric in present and metric not in decisive)]


def _ladder(found: LeaveOneOut, metric: Metric) -> Picture:
    """A row per variant in the order of the file, and the best of the baselines among them."""
    rows = found.ablation[found.ablation["metric"] == metric.name]
    values = {str(v): rows.loc[rows["variant"] == v, "value"].dropna().tolist() for v in rows["variant"].unique()}
    means = {variant: sum(points) / len(points) if points else None for variant, points in values.items()}
    decimals = decimals_for(list(means.values()))
    baselines = {method.label for method in found.board.baselines} & set(values)
    rival = best(metric.name, {variant: means[variant] for variant in values if variant in baselines})
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
    first = {metric: best(metric.name, {v: value(metric, v) for v in variants}) for metric in metrics}

    def cell(metric: Metric, variant: str) -> Cell:
        deviation = deviations.get((metric.name, variant))
        spread = f"± {shown(float(deviation), decimals[metric])}" if deviation and deviation > 0 else ""
        text = shown(value(metric, variant), decimals[metric])
        return Cell(text, best=variant == first[metric], remark=spread)

    rows = [[Cell(str(v)), *(cell(metric, v) for metric in metrics)] for v in variants]
    header = ["variant", *(f"{metric.label}\N{NO-BREAK SPACE}{metric.arrow}" for metric in metrics)]
    chosen = "; ".join(f"{variant} for {cell_type}" for cell_type, variant in found.about["chosen"].items())
    caption = (
        f"Means over cell types, each held out together with another one{_over_seeds(found.ablation)}. Which variant "
        f"predicts a cell type above was chosen by the {metric_of(found.about['chosen_by']).label} of the other type "
        f"in its pairs, so that its own held-out cells had no say: {chosen}."
    )
    return Table(header, rows, caption)


def _over_seeds(rows: pd.DataFrame) -> str:
    seeds = rows["seed"].nunique()
    return f" ± standard deviation over {seeds} seeds" if seeds > 1 else ", with one seed"
