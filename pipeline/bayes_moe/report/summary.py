"""The mixture of experts in short: its card on the first screen, and its part of RESULTS.md."""

from collections.abc import Sequence

from pipeline.bayes_moe.report.abstention import abstention_table
from pipeline.bayes_moe.report.chapter import ANCHOR
from pipeline.bayes_moe.report.ensembles import ensembles_table, power_table
from pipeline.bayes_moe.report.measured import MeasuredImages
from pipeline.bayes_moe.report.results import Moe
from pipeline.bayes_moe.report.tables import differences_table, main_table
from pipeline.bayes_moe.report.verdict import lead
from pipeline.report.headline import number_of, overall
from pipeline.report.markdown import markdown
from pipeline.report.page import System
from pipeline.report.scores import answer


def card(moe: Moe) -> System:
    """What the first screen says."""
    return System(
        name="bayes-moe",
        question="Are sparse experts as accurate as a dense network, and better calibrated?",
        answer=answer(moe.decisive),
        standing=overall(moe.decisive),
        model=moe.quoted(moe.chosen),
        rival="dense twin",
        numbers=[number_of(one) for one in moe.decisive],
        simulated=False,
        elsewhere="",
        anchor=ANCHOR,
    )


def results(moe: Moe, elsewhere: Sequence[MeasuredImages] = ()) -> list[str]:
    """What RESULTS.md says, below the heading of the system."""
    return [
        f"**{answer(moe.decisive)}** {lead(moe)}",
        markdown(main_table(moe)),
        markdown(differences_table(moe, folded="")),
        markdown(ensembles_table(moe.ensembles, moe.board)),
        *([markdown(power_table(moe))] if len(moe.power) else []),
        markdown(abstention_table(moe.abstention, moe.board)),
        *(text for one in elsewhere for text in (f"**{one.study.title}.** {one.lead}", markdown(one.methods_table))),
    ]
