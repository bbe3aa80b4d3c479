"""The chapter on pictures unlike those learned from: corrupted ones, and ones of another kind."""

import numpy as np

from pipeline.bayes_moe.report.names import ACCURACY, ECE, label_of, quoted
from pipeline.bayes_moe.report.results import Moe
from pipeline.bayes_moe.report.tables import away_table, corruptions_table
from pipeline.plots.lines import Line, draw_lines
from pipeline.plots.theme import PANEL_WIDTH, Picture
from pipeline.report.numbers import counted
from pipeline.report.page import Block, Figures, Section
from pipeline.report.scores import decimals_for, shown
from pipeline.report.spreads import Measure


def robustness(moe: Moe) -> Section:
    """Accuracy and calibration by severity, and whether other kinds of pictures are noticed."""
    kinds = moe.corruption["corruption"].nunique()
    blocks: list[Block] = [
        Figures(
            [_by_severity(moe, measure) for measure in (ACCURACY, ECE)],
            f"Test pictures under {counted(kinds, 'kind')} of corruption, none of them seen in training, from the "
            "mildest to the strongest: mean over kinds. Thick: means over seeds; thin: each seed.",
        ),
        away_table(moe),
        corruptions_table(moe),
    ]
    return Section("Corrupted and foreign pictures", "robustness", _in_words(moe), blocks)


def _in_words(moe: Moe) -> str:
    """Numbers beside each other: no test was made of these, and none is claimed."""
    parts = []
    for measure, name in ((ACCURACY, "corrupted_accuracy"), (ECE, "corrupted_ece")):
        means = [moe.spread(point, name).mean for point in (moe.chosen, moe.twin)]
        decimals = decimals_for(means)
        parts.append(f"{measure.label} {shown(means[0], decimals)} against {shown(means[1], decimals)}")
    known = [moe.spread(point, "auroc").mean for point in (moe.chosen, moe.twin)]
    return (
        f"On corrupted pictures, {quoted(moe.chosen)} against its dense twin: {' and '.join(parts)}. Known pictures "
        f"told from foreign ones by confidence: AUROC {shown(known[0], 3)} against {shown(known[1], 3)}. Whether these "
        "differ by more than chance was not tested; the spread over seeds is in the table."
    )


def _by_severity(moe: Moe, measure: Measure) -> Picture:
    lines = []
    for point in (moe.twin, moe.chosen):
        rows = moe.corruption[moe.corruption["point"] == point]
        mean = rows.groupby(["seed", "severity"])[measure.name].mean()
        seeds = [
            (of_seed.index.get_level_values("severity").to_numpy(np.float64), of_seed.to_numpy(np.float64))
            for _, of_seed in mean.groupby(level="seed")
        ]
        lines.append(Line(label_of(point), "model" if point == moe.chosen else "baseline", seeds))
    title = measure.label[:1].upper() + measure.label[1:]
    return draw_lines(f"{title} under corruption", "severity", lines, PANEL_WIDTH, dots=True)
