"""The whole report of what lies in the working directory: every chapter, then the page, as the stages do."""

from collections.abc import Callable

from pipeline.alphastomics.stages import chapter as alphastomics_chapter
from pipeline.bayes_moe.stages import chapter as bayes_moe_chapter
from pipeline.cfm_vc.stages import chapter as cfm_vc_chapter
from pipeline.mole.stages import chapter as mole_chapter
from pipeline.params.report import Report
from pipeline.stages import report

CHAPTERS: dict[str, Callable[[], None]] = {
    "cfm_vc": cfm_vc_chapter.run,
    "alphastomics": alphastomics_chapter.run,
    "bayes_moe": bayes_moe_chapter.run,
    "mole": mole_chapter.run,
}


def write_report(title: str = "A title") -> None:
    for draw in CHAPTERS.values():
        draw()
    report.run(Report(title=title))
