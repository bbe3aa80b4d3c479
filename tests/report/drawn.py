"""The whole report of what lies in the working directory: every chapter, then the page, as the stages do."""

from collections.abc import Callable

from pipeline.alphastomics.stages import chapter as chapter_tissue
from pipeline.bayes_moe.stages import chapter as chapter_experts
from pipeline.cfm_vc.stages import chapter as chapter_perturbations
from pipeline.mole.stages import chapter as chapter_forecasting
from pipeline.params.report import Report
from pipeline.stages import report

CHAPTERS: dict[str, Callable[[], None]] = {
    "perturbations": chapter_perturbations.run,
    "experts": chapter_experts.run,
    "tissue": chapter_tissue.run,
    "forecasting": chapter_forecasting.run,
}


def write_report(title: str = "A title") -> None:
    for draw in CHAPTERS.values():
        draw()
    report.run(Report(title=title))
