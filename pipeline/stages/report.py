"""Write the report: one HTML page that works offline, joined from the chapters of all systems; its tables as text."""

from pipeline.core import paths
from pipeline.core.entry import run_stage
from pipeline.core.files import write_text
from pipeline.core.machine import describe_machine
from pipeline.params.reading import read_yaml
from pipeline.params.report import Report
from pipeline.report.chapter import draw, read_chapter
from pipeline.report.page import Headline, Part
from pipeline.report.provenance import provenance
from pipeline.report.run_results import read_dataset, read_drawing
from pipeline.report.whole.page import render
from pipeline.report.whole.results import results_markdown

SECTION = "report"
CHAPTERS = ("perturbations", "experts", "tissue", "forecasting")  # in the order of the page


def run(settings: Report) -> None:
    """Read the chapters, write reports/report.html and reports/RESULTS.md."""
    chapters = [read_chapter(name) for name in CHAPTERS]
    # The page shows all parameters, and so dvc.yaml lists the whole file for this stage.
    last = provenance(read_dataset(), read_yaml(paths.PARAMS), read_drawing(paths.DAG))
    first = Headline([chapter.system for chapter in chapters])
    page = render(settings.title, first, [*chapters, draw(Part("This run", [last]))])
    text = results_markdown(first, chapters, describe_machine())
    write_text(paths.REPORT, page)
    write_text(paths.RESULTS, text)


if __name__ == "__main__":
    run_stage(SECTION, run)
