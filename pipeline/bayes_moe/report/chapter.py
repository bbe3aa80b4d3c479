"""The chapter that answers: are sparse experts as accurate as their dense twin, and better calibrated?"""

import numpy as np

from pipeline.bayes_moe.plots.cost import Cost, draw_tradeoff
from pipeline.bayes_moe.plots.reliability import Reliability, draw_reliability
from pipeline.bayes_moe.report.names import ACCURACY, DEFINITIONS, ECE, NLL, label_of
from pipeline.bayes_moe.report.results import RAW, SCALED, Moe
from pipeline.bayes_moe.report.tables import differences_table, groups, main_table, more_scores
from pipeline.bayes_moe.report.verdict import answer, verdict
from pipeline.plots.differences import DifferenceRow, Interval, draw_differences
from pipeline.plots.theme import Picture
from pipeline.report.numbers import counted
from pipeline.report.page import Block, Facts, Figures, Heading, Notes, Section
from pipeline.report.scores import decimals_for, shown, signed
from pipeline.report.spreads import Measure

ANCHOR = "moe"
_TITLES = {RAW: "As trained", SCALED: "After temperature scaling"}


def mixture(moe: Moe) -> Section:
    """The verdict, the differences to the dense twin, the table of all points, and how calibration and cost look."""
    each = "each against the dense one in the same place" if len(groups(moe)) > 1 else f"against {label_of(moe.twin)}"
    blocks: list[Block] = [
        *([Notes(moe.notes)] if moe.notes else []),
        Figures(
            [_differences(moe, measure) for measure in (ECE, NLL, ACCURACY)],
            f"Sparse minus dense ({each}): dots, and 95 % intervals over test pictures and seeds. Filled: as trained; "
            "hollow: after temperature scaling, which leaves accuracy as it is. An interval that holds 0 shows no "
            f"difference; on the tinted side the sparse point is better. Orange: {label_of(moe.chosen)}, which "
            "validation chose.",
            small=True,
        ),
        main_table(moe),
        differences_table(moe),
        more_scores(moe),
        Heading("How sure, and how often right"),
        Figures(
            [_reliability(moe, kind) for kind in (RAW, SCALED)],
            f"Answers of {'all seeds' if moe.seeds > 1 else 'one seed'} in {counted(moe.bins, 'bin')} of confidence; "
            "the larger a dot, the more answers it stands for. A perfectly calibrated classifier lies on the dashed "
            "line. Bins with less than 1 % of the answers, off the line mostly by chance, are dots only. "
            "ECE: means over seeds.",
        ),
        Heading("What it costs"),
        Figures(
            [_tradeoff(moe, measure) for measure in (ACCURACY, ECE)],
            "Each point against the arithmetic that one picture takes; lines: standard deviation over seeds. "
            f"Orange: {label_of(moe.chosen)}; in the colour of the text: dense; grey: the other sparse points.",
        ),
        Heading("What the words mean"),
        Facts(DEFINITIONS),
    ]
    return Section("Sparse experts against a dense network", ANCHOR, verdict(moe), blocks, answer(moe))


def role_of(moe: Moe, point: str) -> str:
    """How a point is drawn: the chosen one as the model, dense ones as its baseline."""
    return "model" if point == moe.chosen else "other" if point in moe.sparse else "baseline"


def _differences(moe: Moe, measure: Measure) -> Picture:
    kinds = (RAW,) if measure is ACCURACY else (RAW, SCALED)
    decimals = min(3, decimals_for([moe.differences[point, RAW, measure.name].value for point in moe.sparse]))
    rows = []
    for point in sorted(moe.sparse, key=lambda point: point != moe.chosen):
        found = [moe.differences[point, kind, measure.name] for kind in kinds]
        intervals = [
            Interval(one.value, one.low, one.high, kind == RAW) for kind, one in zip(kinds, found, strict=True)
        ]
        rows.append(DifferenceRow(label_of(point), point == moe.chosen, intervals, signed(found[0].value, decimals)))
    title = measure.label[:1].upper() + measure.label[1:]
    return draw_differences(title, not measure.higher_is_better, rows)


def _reliability(moe: Moe, kind: str) -> Picture:
    classifiers = []
    for point in (moe.twin, moe.chosen):
        rows = moe.reliability
        bins = rows[(rows["point"] == point) & (rows["kind"] == kind)].sort_values("bin")
        count, confidence, accuracy = (bins[name].to_numpy(np.float64) for name in ("count", "confidence", "accuracy"))
        error = f"ECE {shown(moe.spread(point, ECE.name, kind).mean, 3)}"
        name = f"{label_of(point)}"
        classifiers.append(Reliability(name, point == moe.chosen, count, confidence, accuracy, error))
    return draw_reliability(_TITLES[kind], classifiers)


def _tradeoff(moe: Moe, measure: Measure) -> Picture:
    points = []
    for point in moe.points.index:
        found = moe.spread(point, measure.name)
        assert found.mean is not None  # checked when it was read
        flops = moe.number(point, "activated_flops")
        points.append(Cost(label_of(point), role_of(moe, point), flops, found.mean, found.deviation))
    direction = "higher is better" if measure.higher_is_better else "lower is better"
    title = measure.label[:1].upper() + measure.label[1:]
    return draw_tradeoff(f"{title} against arithmetic", f"{measure.label}, {direction}", points)
