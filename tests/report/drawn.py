"""The whole report of what lies in the working directory: every chapter, then the page, as the stages do."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from pipeline.core.paths import StudyPaths
from pipeline.params.chapter import Chapter
from pipeline.params.report import Report
from pipeline.plan import SYSTEMS, folds_of_studies, settings_of
from pipeline.registry import load_params
from pipeline.stages import report

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
STUDIES = {system: StudyPaths(system, name) for system in SYSTEMS for name in getattr(PARAMS, system).studies}
SETTINGS = {
    at.system: Chapter.model_validate(
        settings_of(
            getattr(PARAMS, at.system).studies[at.study],
            folds_of_studies(PARAMS).get((at.system, at.study), {}),
            getattr(PARAMS, at.system),
        )["chapter"]
    )
    for at in STUDIES.values()
}
FOLDS = SETTINGS["cfm_vc"].folds
CHAPTERS: dict[str, Callable[[], None]] = {
    system: partial(import_module(f"pipeline.{system}.stages.chapter").run, SETTINGS[system], at)
    for system, at in STUDIES.items()
}


def write_report(title: str = "A title") -> None:
    for draw in CHAPTERS.values():
        draw()
    report.run(Report(title=title))
