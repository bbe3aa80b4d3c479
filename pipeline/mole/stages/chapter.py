"""Draw the chapter on forecasting: what evaluation found, a measured series, and inference."""

from pipeline.core.entry import run_study_stage
from pipeline.core.paths import StudyPaths
from pipeline.mole.report.chapter import forecasting, measured
from pipeline.mole.report.intervals import intervals
from pipeline.mole.report.results import read_forecasting
from pipeline.mole.report.specialisation import specialisation
from pipeline.mole.report.summary import card, results
from pipeline.mole.report.ttnn import inference as timed
from pipeline.mole.report.ttnn_results import read_inference
from pipeline.params.chapter import Chapter
from pipeline.report.definitions import definitions
from pipeline.report.page import Part
from pipeline.report.study_page import write_chapter

DEFINED = "Errors are measured on test windows that neither training nor any choice has seen."
INTERVAL = (
    "The interval is that of the mean over seeds, by Student's t: how far other trainings would move the difference on "
    "the same windows. With one seed there is none."
)


def run(settings: Chapter, at: StudyPaths) -> None:
    """Read the results on forecasts and on inference and write the chapter."""
    series, times = read_forecasting(at), read_inference(at) if settings.inference else None
    words = definitions(
        DEFINED, series.board.scores.metrics, series.board.scores.methods, INTERVAL, "forecasting-definitions"
    )
    banded = intervals(series)
    parts = [forecasting(series), *([] if banded is None else [banded]), specialisation(series)]
    sections = [*parts, *map(measured, series.measured), words, *([] if times is None else [timed(times)])]
    part = Part("MoLE: forecasting", sections)
    write_chapter(at, settings, part, card(series), results(series, times), series.source)


if __name__ == "__main__":
    run_study_stage("mole.chapter", run)
