"""Draw the chapter on tissue: what evaluation found, and measured sections."""

from pipeline.alphastomics.paths import PATHS
from pipeline.alphastomics.report.chapter import tissue
from pipeline.alphastomics.report.left_out import left_out
from pipeline.alphastomics.report.results import read_spatial
from pipeline.alphastomics.report.summary import card, results
from pipeline.core.entry import run_stage
from pipeline.report.chapter import write_chapter
from pipeline.report.page import Part


def run() -> None:
    """Read the results on tissue, write reports/chapters/alphastomics.json."""
    found = read_spatial()
    write_chapter(
        PATHS,
        Part("AlphaSTomics: expression and position in tissue", [tissue(found), left_out(found)]),
        card(found),
        results(found),
    )


if __name__ == "__main__":
    run_stage(None, run)
