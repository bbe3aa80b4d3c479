"""Write the report: a self-contained HTML page from the chapters of all studies, and RESULTS.md."""

from pipeline.core import paths
from pipeline.core.entry import run_stage
from pipeline.core.files import write_text
from pipeline.core.machine import describe_machine
from pipeline.core.paths import StudyPaths
from pipeline.params.reading import read_yaml
from pipeline.params.report import Report
from pipeline.report.chapter import Chapter, draw, read_chapter
from pipeline.report.drawing import read_drawing
from pipeline.report.page import Headline, Part
from pipeline.report.page_template.page import render
from pipeline.report.page_template.results import results_markdown
from pipeline.report.provenance import made_by, provenance

SECTION = "report"


def run(settings: Report) -> None:
    """Read the chapters, write reports/report.html and reports/RESULTS.md."""
    # The page shows all parameters, and so dvc.yaml lists the whole file for this stage.
    params = read_yaml(paths.PARAMS)
    chapters = _chapters(settings)
    last = provenance(chapters, params, read_drawing(paths.DAG))
    first = Headline([chapter.system for chapter in chapters], made_by())
    page = render(settings.title, first, [*chapters, draw(Part("This run", [last]))])
    text = results_markdown(first, chapters, describe_machine())
    write_text(paths.REPORT, page)
    write_text(paths.RESULTS, text)


def _chapters(settings: Report) -> list[Chapter]:
    """Those of the studies that the report is to show; of all of them by default."""
    planned = read_yaml(paths.PLAN)["plan"]["studies"].values()
    shown = [entry for entry in planned if settings.studies is None or entry["study"] in settings.studies]
    return [read_chapter(StudyPaths(entry["system"], entry["study"])) for entry in shown]


if __name__ == "__main__":
    run_stage(SECTION, run)
