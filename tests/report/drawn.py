"""The whole report of what lies in the working directory: every chapter, then the page, as the stages do."""

from collections.abc import Callable
from functools import partial

from pipeline.alphastomics.stages import chapter as alphastomics_chapter
from pipeline.bayes_moe.stages import chapter as bayes_moe_chapter
from pipeline.cfm_vc.stages import chapter as cfm_vc_chapter
from pipeline.core.paths import StudyPaths
from pipeline.mole.stages import chapter as mole_chapter
from pipeline.params.chapter import Chapter
from pipeline.params.report import Report
from pipeline.stages import report

FOLDS = {"held_out": [0]}  # with the seeds of each
STUDIES = {  # of params.yaml
    "cfm_vc": StudyPaths("cfm_vc", "pbmc"),
    "alphastomics": StudyPaths("alphastomics", "tissue"),
    "bayes_moe": StudyPaths("bayes_moe", "digits"),
    "mole": StudyPaths("mole", "series"),
}
CHAPTERS: dict[str, Callable[[], None]] = {
    "cfm_vc": partial(cfm_vc_chapter.run, Chapter(folds=FOLDS), STUDIES["cfm_vc"]),
    "alphastomics": partial(alphastomics_chapter.run, Chapter(folds=FOLDS), STUDIES["alphastomics"]),
    "bayes_moe": partial(bayes_moe_chapter.run, Chapter(), STUDIES["bayes_moe"]),
    "mole": partial(mole_chapter.run, Chapter(inference=True), STUDIES["mole"]),
}


def write_report(title: str = "A title") -> None:
    for draw in CHAPTERS.values():
        draw()
    report.run(Report(title=title))
