"""Draw the chapter on forecasting: what evaluation found, a measured series, and inference."""

from pipeline.core.entry import run_stage
from pipeline.mole.paths import PATHS
from pipeline.mole.report.chapter import forecasting, measured
from pipeline.mole.report.results import read_forecasting
from pipeline.mole.report.specialisation import specialisation
from pipeline.mole.report.summary import card, results
from pipeline.mole.report.ttnn import inference
from pipeline.mole.report.ttnn_results import read_inference
from pipeline.report.chapter import write_chapter
from pipeline.report.definitions import definitions
from pipeline.report.page import Part

DEFINED = "Errors are measured on test windows that neither training nor any choice has seen."
INTERVAL = (
    "The interval is that of the mean over seeds, by Student's t: how far other trainings would move the difference on "
    "the same windows. With one seed there is none."
)


def run() -> None:
    """Read the results on forecasts and on inference, write reports/chapters/mole.json."""
    series, times = read_forecasting(), read_inference()
    aside = [] if series.measured is None else [measured(series.measured)]
    words = definitions(
        DEFINED, series.board.scores.metrics, series.board.scores.methods, INTERVAL, "forecasting-definitions"
    )
    sections = [forecasting(series), specialisation(series), *aside, words, inference(times)]
    write_chapter(PATHS, Part("MoLE: forecasting", sections), card(series), results(series, times))


if __name__ == "__main__":
    run_stage(None, run)
