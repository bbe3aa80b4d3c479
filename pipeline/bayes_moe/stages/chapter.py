"""Draw the chapter on the mixture of experts: what the evaluation of the sweep found."""

from pipeline.bayes_moe.report.chapter import mixture
from pipeline.bayes_moe.report.ensembles import ensembles
from pipeline.bayes_moe.report.measured import measured_images, read_measured
from pipeline.bayes_moe.report.results import read_moe
from pipeline.bayes_moe.report.robustness import robustness
from pipeline.bayes_moe.report.routing import routing
from pipeline.bayes_moe.report.summary import card, results
from pipeline.bayes_moe.report.verdict import INTERVAL
from pipeline.core.entry import run_study_stage
from pipeline.core.paths import StudyPaths
from pipeline.params.chapter import Chapter
from pipeline.report.definitions import definitions
from pipeline.report.page import Part
from pipeline.report.study_page import write_chapter

_SCORES = (
    "A sparse classifier has several feed-forward networks, the experts, of which a gate picks a few for each token; "
    "its dense twin has one network in their place and is trained by the same recipe. Scaled: after temperature "
    "scaling, which divides all logits by one number chosen on the validation images; it changes the confidence of a "
    "prediction and never the class. FLOPs are per image, a multiply-add counts as two; active: of the experts used."
)


def run(settings: Chapter, at: StudyPaths) -> None:
    """Read the results of the sweep and write the chapter."""
    found = read_moe(at)
    words = definitions(_SCORES, found.board.metrics, found.board.methods, INTERVAL, "moe-definitions")
    elsewhere = read_measured(found.source)
    sections = [mixture(found), ensembles(found), routing(found), robustness(found)]
    sections += [*([measured_images(elsewhere)] if elsewhere else []), words]
    part = Part("bayes-moe: sparse experts and calibration", sections)
    write_chapter(at, settings, part, card(found), results(found, elsewhere), found.source)


if __name__ == "__main__":
    run_study_stage("bayes_moe.chapter", run)
