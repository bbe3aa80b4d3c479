"""The mixture of experts in short: its card on the first screen, and its part of RESULTS.md."""

from pipeline.bayes_moe.report import chapter as moe
from pipeline.bayes_moe.report.names import ACCURACY, ECE, label_of
from pipeline.bayes_moe.report.results import RAW, SCALED, Moe
from pipeline.bayes_moe.report.tables import differences_table, main_table
from pipeline.bayes_moe.report.verdict import answer, standing, verdict
from pipeline.metrics.verdict import Standing
from pipeline.report.markdown import markdown
from pipeline.report.page import Number, System
from pipeline.report.scores import decimals_for, shown


def card(found: Moe) -> System:
    """What the first screen says."""
    kinds = [(ECE, RAW, "ECE"), (ECE, SCALED, "ECE, scaled"), (ACCURACY, RAW, "accuracy")]
    numbers, stands = [], {}
    for measure, kind, label in kinds:
        means = [found.spread(point, measure.name, kind).mean for point in (found.chosen, found.twin)]
        ours, theirs = (shown(mean, decimals_for(means)) for mean in means)
        stands[label] = standing(measure, found.differences[found.chosen, kind, measure.name])
        numbers.append(Number(f"{label} {measure.arrow}", ours, theirs, stands[label]))
    calibration = {stands["ECE"], stands["ECE, scaled"]}
    mark: Standing = "behind" if "worse" in calibration else "ahead" if calibration == {"better"} else "level"
    return System(
        name="bayes-moe",
        question="Are sparse experts as accurate as a dense network, and better calibrated?",
        answer=answer(found),
        standing=mark,
        model=f"“{label_of(found.chosen)}”",
        rival="dense twin",
        numbers=numbers,
        simulated=False,
        elsewhere="",
        anchor=moe.ANCHOR,
    )


def results(found: Moe) -> list[str]:
    """What RESULTS.md says, below the heading of the system."""
    return [
        f"**{answer(found)}** {verdict(found)}",
        markdown(main_table(found)),
        markdown(differences_table(found, folded=False)),
    ]
