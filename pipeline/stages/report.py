"""Write the report: a self-contained HTML page from the chapters of all systems, and RESULTS.md."""

from pipeline.core import paths
from pipeline.core.entry import run_stage
from pipeline.core.files import write_text
from pipeline.core.machine import describe_machine
from pipeline.params.reading import read_yaml
from pipeline.params.report import Report
from pipeline.report.chapter import draw, read_chapter
from pipeline.report.page import Headline, Part
from pipeline.report.page_template.page import render
from pipeline.report.page_template.results import results_markdown
from pipeline.report.provenance import made_by, provenance
from pipeline.report.run_results import read_dataset, read_drawing

SECTION = "report"
SHARED = ("report", "track")  # sections of params.yaml that are not systems


def run(settings: Report) -> None:
    """Read the chapters, write reports/report.html and reports/RESULTS.md."""
    # The page shows all parameters, and so dvc.yaml lists the whole file for this stage.
    params = read_yaml(paths.PARAMS)
    chapters = [read_chapter(section) for section in params if section not in SHARED]
    last = provenance(read_dataset(), params, read_drawing(paths.DAG))
    first = Headline([chapter.system for chapter in chapters], made_by())
    page = render(settings.title, first, [*chapters, draw(Part("This run", [last]))])
    text = results_markdown(first, chapters, describe_machine())
    write_text(paths.REPORT, page)
    write_text(paths.RESULTS, text)


if __name__ == "__main__":
    run_stage(SECTION, run)
