"""Draw the chapter on the mixture of experts: what the evaluation of the sweep found."""

from pipeline.bayes_moe.paths import PATHS
from pipeline.bayes_moe.report.chapter import mixture
from pipeline.bayes_moe.report.results import read_moe
from pipeline.bayes_moe.report.robustness import robustness
from pipeline.bayes_moe.report.routing import routing
from pipeline.bayes_moe.report.summary import card, results
from pipeline.core.entry import run_stage
from pipeline.report.chapter import write_chapter
from pipeline.report.page import Part


def run() -> None:
    """Read the results of the sweep, write reports/chapters/bayes_moe.json."""
    found = read_moe()
    sections = [mixture(found), routing(found), robustness(found)]
    write_chapter(PATHS, Part("bayes-moe: sparse experts and calibration", sections), card(found), results(found))


if __name__ == "__main__":
    run_stage(None, run)
