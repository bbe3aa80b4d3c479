"""Draw the chapter on the mixture of experts: what the evaluation of the sweep found."""

from pipeline.entry import run_stage
from pipeline.report.chapter import write_chapter
from pipeline.report.moe import mixture
from pipeline.report.moe_inputs import read_moe
from pipeline.report.moe_summary import card, results
from pipeline.report.page import Part
from pipeline.report.robustness import robustness
from pipeline.report.routing import routing


def run() -> None:
    """Read the results of the sweep, write reports/chapters/experts.json."""
    found = read_moe()
    sections = [mixture(found), routing(found), robustness(found)]
    write_chapter("experts", Part("Mixture of experts", sections), card(found), results(found))


if __name__ == "__main__":
    run_stage(None, run)
