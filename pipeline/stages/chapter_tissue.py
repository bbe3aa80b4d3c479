"""Draw the chapter on tissue: what evaluation found, and measured sections."""

from pipeline.entry import run_stage
from pipeline.report.chapter import write_chapter
from pipeline.report.page import Part
from pipeline.report.spatial import tissue
from pipeline.report.spatial_inputs import read_spatial
from pipeline.report.spatial_left_out import left_out
from pipeline.report.spatial_summary import card, results


def run() -> None:
    """Read the results on tissue, write reports/chapters/tissue.json."""
    found = read_spatial()
    write_chapter("tissue", Part("Tissue", [tissue(found), left_out(found)]), card(found), results(found))


if __name__ == "__main__":
    run_stage(None, run)
