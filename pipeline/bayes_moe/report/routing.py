"""The section on the gate: how much each expert is used, for which classes, during training, and sampled routes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.bayes_moe.glossary import GLOSSARY
from pipeline.bayes_moe.plots.cost import Cost, Sampling, draw_sampling
from pipeline.bayes_moe.report.chapter import title_of
from pipeline.bayes_moe.report.results import Moe
from pipeline.bayes_moe.report.stability import stability
from pipeline.bayes_moe.report.tables import sampled_table
from pipeline.core.wording import counted
from pipeline.plots.experts import LIMIT, draw_classes, draw_usage, draw_usage_by_epoch
from pipeline.plots.lines import Line, draw_lines
from pipeline.plots.scatter import Floats
from pipeline.plots.theme import Picture
from pipeline.report.page import Block, Figures, Heading, Section
from pipeline.report.scores import joined, shown

_SAME = ("place", "experts", "top_k", "gate", "balance")  # what a point shares with its unbalanced sibling


def routing(moe: Moe) -> Section:
    """Usage and specialisation of the chosen point, beside a point whose gate nothing balances."""
    pair = compared(moe)
    blocks: list[Block] = [
        Figures(
            [*(_usage(moe, point) for point in pair), *(_classes(moe, point) for point in pair)],
            "Bars: share of the test images' tokens that each expert is given, ranked within each seed, with the "
            "standard deviation over seeds and a dot per seed; an expert below the limit, a quarter of the fair share, "
            "is hardly used. Heatmaps: percentage of the tokens of each class that each expert is given, in the first "
            "seed; the numbering of experts differs between seeds.",
        ),
        Heading("During training"),
        Figures(
            [*(_usage_by_epoch(moe, point) for point in pair), _entropy(moe, pair)],
            "Share of the validation images' tokens that each expert is given, after each epoch, in the seed with the "
            "least used expert (orange); and the normalised entropy of the gate: 0 where it is certain of one expert, "
            "1 where it is uniform.",
            small=True,
        ),
        Figures(
            [_learning(moe, metric) for metric in ("accuracy", "nll", "ece")],
            "Scores on the validation images after each epoch. Thick: means over seeds; thin: each seed. The weights "
            "of the epoch with the lowest validation loss are kept. Scores that span orders of magnitude have a "
            "logarithmic axis.",
            small=True,
        ),
        *stability(moe),
        *_sampled(moe),
    ]
    return Section("How the experts are used", "experts", usage_in_words(moe), blocks)


def compared(moe: Moe) -> list[str]:
    """The chosen point, and one that differs in balancing where there is one: without it, or where the chosen one has
    none, with it; of several such points that which is otherwise most alike."""
    free = unbalanced(moe)
    others = [point for point in moe.sparse if (point in free) != (moe.chosen in free)] if free else []

    def alike(point: str) -> int:
        return sum(moe.points.at[point, name] == moe.points.at[moe.chosen, name] for name in _SAME)

    return [moe.chosen, *([max(others, key=alike)] if others else [])]


def unbalanced(moe: Moe) -> list[str]:
    """The sparse points whose balance has no weight."""
    return [point for point in moe.sparse if moe.number(point, "balance_weight") == 0]


def usage_in_words(moe: Moe) -> str:
    """How small the share of the least used expert became, with and without balancing."""
    free = unbalanced(moe)
    named = compared(moe)
    # The chosen point may differ in more than balancing: then also the one that differs in nothing else.
    siblings = [other for point in named if point in free for other in moe.sparse if _only_balance(moe, point, other)]
    named += [other for other in siblings[:1] if not set(siblings) & set(named)]
    sentences = [_least_used(moe, point, point in free) for point in named]
    collapsed = [point for point in free if _least(moe, point) < LIMIT]
    if free and collapsed:
        sentences.append(
            "Without balancing, the least used expert fell below a quarter of its fair share, on average over "
            f"seeds, in {joined([moe.quoted(point) for point in collapsed])}."
        )
    elif free:
        sentences.append(
            f"Without balancing ({counted(len(free), 'point')}), no expert fell below a quarter of its fair share, "
            "on average over seeds: on these images the gate stays balanced by itself."
        )
    return " ".join(sentences)


def _only_balance(moe: Moe, free: str, other: str) -> bool:
    """Whether the other point has a balance weight and is else the same, in what the evaluation says of it."""
    same = all(moe.points.at[free, name] == moe.points.at[other, name] for name in _SAME)
    return same and moe.number(other, "balance_weight") > 0


def _least(moe: Moe, point: str) -> float:
    mean = moe.score(point, "least_used").value
    return float("nan") if mean is None else mean


def _least_used(moe: Moe, point: str, free: bool) -> str:
    found = moe.score(point, "least_used")
    deviation = "" if found.deviation is None else f" ± {shown(100 * found.deviation, 0)}"
    how = "without balancing" if free else f"with a balance weight of {moe.number(point, 'balance_weight'):g}"
    mean = None if found.value is None else 100 * found.value
    return (
        f"{moe.quoted(point)}, {how}: the least used of its {moe.number_of_experts(point)} experts gets "
        f"{shown(mean, 0)}{deviation} % of its fair share."
    )


def _tokens(moe: Moe, point: str) -> tuple[list[np.ndarray[tuple[int, int], np.dtype[np.int64]]], list[str]]:
    """Tokens (E, K) of each seed, and the names of the classes."""
    rows = moe.experts[moe.experts["point"] == point]
    classes = list(rows["label"].unique())
    grids = []
    for _, of_seed in rows.groupby("seed"):
        grid = of_seed.pivot_table(index="expert", columns="label", values="tokens", aggfunc="sum", fill_value=0)
        grids.append(grid.sort_index().reindex(columns=classes).to_numpy(np.int64))
    return grids, [str(name) for name in classes]


def _usage(moe: Moe, point: str) -> Picture:
    grids, _ = _tokens(moe, point)
    share_RE = np.stack([tokens_EK.sum(1) / max(tokens_EK.sum(), 1) for tokens_EK in grids])
    return draw_usage(f"Tokens per expert: {moe.label(point)}", share_RE)


def _classes(moe: Moe, point: str) -> Picture:
    grids, classes = _tokens(moe, point)
    return draw_classes(f"Experts and classes: {moe.label(point)}", grids[0], classes)


def _usage_by_epoch(moe: Moe, point: str) -> Picture:
    curve = moe.curves[point]
    loads = [f"validation_load_{expert}" for expert in range(moe.number_of_experts(point))]
    last = curve.sort_values("epoch").groupby("seed")[loads].last()
    seed = last.min(axis=1).idxmin()
    one = curve[curve["seed"] == seed].sort_values("epoch")
    return draw_usage_by_epoch(
        f"Usage: {moe.label(point)}, seed {int(seed)}",
        one["epoch"].to_numpy(np.float64),
        one[loads].to_numpy(np.float64),
    )


def _entropy(moe: Moe, points: Sequence[str]) -> Picture:
    lines = [Line(moe.label(point), moe.role(point), _by_seed(moe.curves[point], "entropy")) for point in points]
    return draw_lines("Entropy of the gate", "epoch", lines)


def _learning(moe: Moe, metric: str) -> Picture:
    lines = [
        Line(moe.label(point), moe.role(point), _by_seed(moe.curves[point], metric)) for point in (moe.twin, moe.chosen)
    ]
    return draw_lines(title_of(metric), "epoch", lines, logarithmic=metric != "accuracy")


def _by_seed(curve: pd.DataFrame, column: str) -> list[tuple[Floats, Floats]]:
    return [
        (rows["epoch"].to_numpy(np.float64), rows[f"validation_{column}"].to_numpy(np.float64))
        for _, rows in curve.sort_values("epoch").groupby("seed")
    ]


def _sampled(moe: Moe) -> list[Block]:
    """Averages over passes with noise; nothing where no point has any."""
    if moe.sampled.empty:
        return []
    points = [point for point in moe.points.index if point in set(moe.sampled["point"])]
    return [
        Heading("Averages over sampled routes and dropout masks"),
        Figures(
            [_sampling(moe, points, metric) for metric in ("nll", "ece")],
            "A stochastic gate, or dropout, can be sampled several times. Numbers: samples that the probabilities are "
            "averaged over; hollow: one pass without noise; vertical lines: standard deviation over seeds of the "
            "difference to it; dashed: the dense twin. The layers before the noise are computed once per image.",
        ),
        sampled_table(moe),
    ]


def _sampling(moe: Moe, points: Sequence[str], metric: str) -> Picture:
    samplings = []
    for point in points:
        rows = moe.sampled[moe.sampled["point"] == point]
        single, routes = rows[rows["samples"] == 0], rows[rows["samples"] > 0]
        by_number = routes.pivot(index="seed", columns="samples", values=metric)
        change = by_number.sub(single.set_index("seed")[metric], axis=0)
        flops = routes.groupby("samples")["flops"].first()
        samplings.append(
            Sampling(
                moe.label(point),
                moe.role(point),
                [int(number) for number in by_number.columns],
                flops.astype(float).tolist(),
                by_number.mean().tolist(),
                change.std().tolist(),
                float(single["flops"].iloc[0]),
                float(single[metric].mean()),
            )
        )
    twin, about = moe.twin_of(points[0]), GLOSSARY.metric(metric)
    dense = moe.score(twin, metric)
    cost = Cost(moe.label(twin), "baseline", moe.number(twin, "flops"), dense.value or 0.0, dense.deviation)
    return draw_sampling(f"{about.label} of averages", f"{about.label}, {about.direction}", samplings, cost)
