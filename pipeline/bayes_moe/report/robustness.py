"""The section on images unlike the training images: corrupted, and out of distribution."""

import numpy as np

from pipeline.bayes_moe.glossary import GLOSSARY
from pipeline.bayes_moe.report.chapter import title_of
from pipeline.bayes_moe.report.results import Moe
from pipeline.bayes_moe.report.tables import corruptions_table, unlike_table
from pipeline.core.wording import counted
from pipeline.plots.lines import Line, draw_lines
from pipeline.plots.theme import PANEL_WIDTH, Picture
from pipeline.report.page import Block, Figures, Section
from pipeline.report.scores import decimals_for, joined, shown


def robustness(moe: Moe) -> Section:
    """Accuracy and calibration by severity, and detection of out-of-distribution images."""
    kinds = moe.corruption["corruption"].nunique()
    blocks: list[Block] = [
        Figures(
            [_by_severity(moe, metric) for metric in ("accuracy", "ece")],
            f"Test images under {counted(kinds, 'kind')} of corruption, none of them seen in training, from the "
            "mildest to the strongest: mean over kinds. Thick: means over seeds; thin: each seed.",
        ),
        unlike_table(moe),
        corruptions_table(moe),
    ]
    return Section("Corrupted and out-of-distribution images", "robustness", _lead(moe), blocks)


def _lead(moe: Moe) -> str:
    """The scores beside each other: no difference was tested, and none is claimed."""
    said = []
    for name in ("corrupted_accuracy", "corrupted_ece", "auroc"):
        values = [moe.score(point, name).value for point in (moe.chosen, moe.twin)]
        ours, theirs = (shown(value, decimals_for(values)) for value in values)
        said.append(f"{GLOSSARY.metric(name).label.removesuffix(', corrupted')} {ours} against {theirs}")
    return (
        f"{moe.quoted(moe.chosen)} against its dense twin: on corrupted images, {joined(said[:2])}; in telling "
        f"out-of-distribution images by their confidence, {said[2]}. These differences have no intervals; the spread "
        f"over seeds is in the table.{_surer_of_others(moe)}"
    )


def _surer_of_others(moe: Moe) -> str:
    """What an AUROC below chance means: neither a reversed sign nor the scale of pixels."""
    if all((moe.score(point, "auroc").value or 0.0) >= 0.5 for point in (moe.chosen, moe.twin)):
        return ""
    return (
        " An AUROC below 0.5 says that the out-of-distribution images get more confidence than the test images. A "
        "classifier that is often unsure of its own images can be surer of others, such as plain shapes with strong "
        "edges; `python -m benchmarks.foreign_images` measures it for CIFAR-10 and digits."
    )


def _by_severity(moe: Moe, metric: str) -> Picture:
    lines = []
    for point in (moe.twin, moe.chosen):
        rows = moe.corruption[moe.corruption["point"] == point]
        mean = rows.groupby(["seed", "severity"])[metric].mean()
        seeds = [
            (of_seed.index.get_level_values("severity").to_numpy(np.float64), of_seed.to_numpy(np.float64))
            for _, of_seed in mean.groupby(level="seed")
        ]
        lines.append(Line(moe.label(point), moe.role(point), seeds))
    return draw_lines(f"{title_of(metric)} under corruption", "severity", lines, PANEL_WIDTH, dots=True)
