"""The section that answers: are sparse experts as accurate as their dense twin, and better calibrated?"""

import numpy as np

from pipeline.bayes_moe.glossary import GLOSSARY, RAW, SCALED
from pipeline.bayes_moe.plots.cost import Cost, draw_tradeoff
from pipeline.bayes_moe.plots.reliability import Reliability, draw_reliability
from pipeline.bayes_moe.report.results import Moe
from pipeline.bayes_moe.report.tables import differences_table, main_table, more_scores
from pipeline.bayes_moe.report.verdict import lead
from pipeline.core.wording import counted
from pipeline.metrics.verdict import Comparison
from pipeline.plots.differences import DifferenceRow, Interval, draw_differences
from pipeline.plots.theme import Picture
from pipeline.report.page import Block, Figures, Heading, Notes, Section
from pipeline.report.scores import answer, decimals_for, shown, signed

ANCHOR = "moe"
_TITLES = {RAW: "As trained", SCALED: "After temperature scaling"}


def mixture(moe: Moe) -> Section:
    """The verdict, the differences to the dense twin, the table of all points, and how calibration and cost look."""
    each = "each against the dense one in the same place" if len(moe.groups) > 1 else f"against {moe.label(moe.twin)}"
    chosen = moe.label(moe.chosen)
    blocks: list[Block] = [
        *([Notes(moe.notes)] if moe.notes else []),
        Figures(
            [_differences(moe, metric) for metric in ("accuracy", "nll", "ece")],
            f"Sparse minus dense ({each}): dots, and 95 % intervals over test images and seeds. Filled: as trained; "
            "hollow: after temperature scaling, which leaves accuracy as it is. An interval that holds 0 shows no "
            f"difference; on the tinted side the sparse point is better. Orange: {chosen}, chosen on validation.",
            small=True,
        ),
        main_table(moe),
        differences_table(moe),
        more_scores(moe),
        Heading("Calibration: confidence and accuracy"),
        Figures(
            [_reliability(moe, unit) for unit in (RAW, SCALED)],
            f"Predictions of {'all seeds' if moe.seeds > 1 else 'one seed'} in {counted(moe.bins, 'bin')} of "
            "confidence; the area of a dot is their number. A perfectly calibrated classifier lies on the dashed line. "
            "Bins with less than 1 % of the predictions are noisy, and are dots only. ECE: means over seeds.",
        ),
        Heading("Cost"),
        Figures(
            [_tradeoff(moe, metric) for metric in ("accuracy", "ece")],
            f"Scores against active FLOPs per image; lines: standard deviation over seeds. Orange: {chosen}; dark: "
            "dense; grey: the other sparse points.",
        ),
    ]
    title = "Sparse experts against a dense network"
    return Section(title, ANCHOR, lead(moe), blocks, answer(moe.decisive))


def title_of(metric: str) -> str:
    """A metric's label as the title of a figure."""
    label = GLOSSARY.metric(metric).label
    return label[:1].upper() + label[1:]


def _differences(moe: Moe, metric: str) -> Picture:
    units = (RAW,) if metric == "accuracy" else (RAW, SCALED)
    found = {point: [moe.against_twin(point, metric, unit) for unit in units] for point in moe.sparse}
    digits = min(3, decimals_for([one.difference.value for one, *_ in found.values()]))
    rows = [
        DifferenceRow(
            moe.label(point),
            point == moe.chosen,
            [_interval(one, unit == RAW) for unit, one in zip(units, of_point, strict=True)],
            signed(of_point[0].difference.value or 0.0, digits),
        )
        for point, of_point in found.items()
    ]
    return draw_differences(title_of(metric), not GLOSSARY.metric(metric).higher_is_better, rows)


def _interval(found: Comparison, full: bool) -> Interval:
    value, low, high = found.difference.value, found.difference.low, found.difference.high
    if value is None or low is None or high is None:
        raise ValueError(f"no interval of the difference in {found.metric.name}")  # evaluate has one for each
    return Interval(value, low, high, full)


def _reliability(moe: Moe, unit: str) -> Picture:
    classifiers = []
    for point in (moe.twin, moe.chosen):
        rows = moe.reliability
        bins = rows[(rows["point"] == point) & (rows["kind"] == unit)].sort_values("bin")
        count, confidence, accuracy = (bins[name].to_numpy(np.float64) for name in ("count", "confidence", "accuracy"))
        error = f"ECE {shown(moe.score(point, 'ece', unit).value, 3)}"
        classifiers.append(Reliability(moe.label(point), point == moe.chosen, count, confidence, accuracy, error))
    return draw_reliability(_TITLES[unit], classifiers)


def _tradeoff(moe: Moe, metric: str) -> Picture:
    points = []
    for point in moe.points.index:
        found = moe.score(point, metric)
        assert found.value is not None  # checked when it was read
        flops = moe.number(point, "activated_flops")
        points.append(Cost(moe.label(point), moe.role(point), flops, found.value, found.deviation))
    about = GLOSSARY.metric(metric)
    return draw_tradeoff(f"{title_of(metric)} against arithmetic", f"{about.label}, {about.direction}", points)
