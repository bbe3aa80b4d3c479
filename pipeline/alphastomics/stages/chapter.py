"""Draw the chapter on tissue: what training and evaluation found, and measured sections."""

from pipeline.alphastomics.report.chapter import tissue
from pipeline.alphastomics.report.left_out import left_out
from pipeline.alphastomics.report.results import read_spatial
from pipeline.alphastomics.report.summary import card, results
from pipeline.alphastomics.report.verdict import interval
from pipeline.core.entry import run_study_stage
from pipeline.core.paths import StudyPaths
from pipeline.params.chapter import Chapter
from pipeline.report.definitions import definitions
from pipeline.report.page import Part
from pipeline.report.study_page import write_chapter

_SCORES = "The docstrings in pipeline/alphastomics/metrics/ have the formulas and their sources."


def run(settings: Chapter, at: StudyPaths) -> None:
    """Read the results on tissue and write the chapter."""
    found = read_spatial(at, settings.folds)
    metrics = [metric for board in found.boards.values() for metric in board.metrics]
    methods = dict.fromkeys(method for board in found.boards.values() for method in board.methods)
    sections = [
        tissue(found),
        *([left_out(found)] if found.measured else []),
        definitions(_SCORES, metrics, list(methods), interval(found), "spatial-definitions"),
    ]
    part = Part("AlphaSTomics: expression and position in tissue", sections)
    write_chapter(at, settings, part, card(found), results(found), found.dataset)


if __name__ == "__main__":
    run_study_stage("alphastomics.chapter", run)
