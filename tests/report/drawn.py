"""The whole report of what lies in the working directory: every chapter, then the page, as the stages do."""

from collections.abc import Callable

from pipeline.params.report import Report
from pipeline.stages import chapter_experts, chapter_forecasting, chapter_perturbations, chapter_tissue, report

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
