"""Is the routing stable: figures and words on corrupted images and on other seeds."""

import numpy as np

from pipeline.bayes_moe.plots.agreement import draw_agreement
from pipeline.bayes_moe.report.results import Moe
from pipeline.plots.lines import Line, draw_lines
from pipeline.plots.theme import PANEL_WIDTH, Picture
from pipeline.report.page import Block, Cell, Figures, Heading, Table
from pipeline.report.scores import shown


def stability(moe: Moe) -> list[Block]:
    """How much of the routing stays under corruption and between seeds."""
    pictures = [_by_severity(moe)]
    if moe.seeds > 1:
        pictures.append(_between_seeds(moe))
    return [
        Heading("Is the routing stable?"),
        Figures(
            pictures,
            "Left: share of the tokens whose first expert stays the one of the uncorrupted image, mean over all kinds "
            "of corruption. Thick: means over seeds; thin: each seed; by chance: what the same use of the "
            "experts alone would give. Right: whether two trainings divide the test images alike, whatever they "
            "number their experts: the adjusted Rand index, 1 for the same groups, 0 for chance.",
        ),
        stability_table(moe),
    ]


def stability_table(moe: Moe) -> Table:
    """Every sparse point: what stays under corruption, the share by chance, and the agreement of seeds."""
    rows = []
    for point in moe.sparse:
        under = moe.stability[moe.stability["point"] == point]
        between = moe.agreement.loc[moe.agreement["point"] == point, "agreement"]
        mean = under.groupby("severity")["same"].mean()
        agreed = shown(float(between.mean()), 2) if len(between) else ""
        spread = f"{shown(float(between.min()), 2)} to {shown(float(between.max()), 2)}" if len(between) else ""
        cells = [shown(100 * float(value), 0) for value in (mean.iloc[0], mean.iloc[-1], by_chance(moe, point))]
        rows.append([Cell(moe.label(point)), *map(Cell, cells), Cell(agreed, remark=spread)])
    header = ["point", "same expert, mildest (%)", "same expert, strongest (%)", "by chance (%)", "seeds agree"]
    caption = (
        "Share of the tokens of corrupted test images whose first expert stays the same, at the mildest and the "
        "strongest severity; by chance: Σ of the squared shares of the experts. Seeds agree: adjusted Rand index, mean "
        "and range over pairs of seeds."
    )
    return Table(header, rows, caption, folded="Stability of all sparse points")


def by_chance(moe: Moe, point: str) -> float:
    """The share of tokens that meet the same expert twice where each is drawn by its use, mean over seeds."""
    tokens = moe.experts[moe.experts["point"] == point].groupby(["seed", "expert"])["tokens"].sum()
    share = tokens / tokens.groupby("seed").transform("sum")
    return float((share**2).groupby("seed").sum().mean())


def _by_severity(moe: Moe) -> Picture:
    rows = moe.stability[moe.stability["point"] == moe.chosen]
    mean = rows.groupby(["seed", "severity"])["same"].mean()
    seeds = [
        (of_seed.index.get_level_values("severity").to_numpy(np.float64), 100 * of_seed.to_numpy(np.float64))
        for _, of_seed in mean.groupby(level="seed")
    ]
    chance = (seeds[0][0], np.full(len(seeds[0][0]), 100 * by_chance(moe, moe.chosen)))
    lines = [Line(moe.label(moe.chosen), "model", seeds), Line("by chance", "baseline", [chance])]
    return draw_lines("Tokens at the same expert (%)", "severity", lines, PANEL_WIDTH, dots=True)


def _between_seeds(moe: Moe) -> Picture:
    rows = moe.agreement[moe.agreement["point"] == moe.chosen]
    seeds = sorted({*rows["first"].tolist(), *rows["second"].tolist()})
    agreement_RR = np.eye(len(seeds))
    for of in rows.to_dict("records"):
        one, other = seeds.index(of["first"]), seeds.index(of["second"])
        agreement_RR[one, other] = agreement_RR[other, one] = of["agreement"]
    return draw_agreement(f"Agreement of seeds: {moe.label(moe.chosen)}", agreement_RR, seeds)
