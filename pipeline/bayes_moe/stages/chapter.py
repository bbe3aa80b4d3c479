"""Draw the chapter on the mixture of experts: what the evaluation of the sweep found."""

from pipeline.bayes_moe.paths import PATHS
from pipeline.bayes_moe.report.chapter import mixture
from pipeline.bayes_moe.report.results import read_moe
from pipeline.bayes_moe.report.robustness import robustness
from pipeline.bayes_moe.report.routing import routing
from pipeline.bayes_moe.report.summary import card, results
from pipeline.bayes_moe.report.verdict import INTERVAL
from pipeline.core.entry import run_stage
from pipeline.report.chapter import write_chapter
from pipeline.report.definitions import definitions
from pipeline.report.page import Part

_SCORES = (
    "A sparse classifier has several feed-forward networks, the experts, of which a gate picks a few for each token; "
    "its dense twin has one network in their place and is trained by the same recipe. Scaled: after temperature "
    "scaling, which divides all logits by one number chosen on the validation images; it changes the confidence of a "
    "prediction and never the class. FLOPs are per image, a multiply-add counts as two; active: of the experts used."
)


def run() -> None:
    """Read the results of the sweep, write reports/chapters/bayes_moe.json."""
    found = read_moe()
    words = definitions(_SCORES, found.board.metrics, found.board.methods, INTERVAL, "moe-definitions")
    sections = [mixture(found), routing(found), robustness(found), words]
    write_chapter(PATHS, Part("bayes-moe: sparse experts and calibration", sections), card(found), results(found))


if __name__ == "__main__":
    run_stage(None, run)
