"""Draw the chapter on forecasting: what evaluation found, a measured series, and inference."""

from pipeline.entry import run_stage
from pipeline.report.chapter import write_chapter
from pipeline.report.forecasting import forecasting, measured
from pipeline.report.forecasting_inputs import read_forecasting
from pipeline.report.forecasting_summary import card, results
from pipeline.report.page import Part
from pipeline.report.specialisation import specialisation
from pipeline.report.ttnn import inference
from pipeline.report.ttnn_inputs import read_inference


def run() -> None:
    """Read the results on forecasts and on inference, write reports/chapters/forecasting.json."""
    series, times = read_forecasting(), read_inference()
    sections = [forecasting(series), specialisation(series), measured(series), inference(times)]
    write_chapter("forecasting", Part("Forecasting", sections), card(series), results(series, times))


if __name__ == "__main__":
    run_stage(None, run)
