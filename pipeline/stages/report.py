"""Write the report: one HTML page that works offline, from what all other stages found out; its tables as text."""

from pipeline import paths
from pipeline.entry import run_stage
from pipeline.files import write_text
from pipeline.params.reading import read_yaml
from pipeline.params.report import Report
from pipeline.report import forecasting as forecasts
from pipeline.report import forecasting_inputs, inputs, moe_inputs, spatial_inputs, spatial_left_out, ttnn, ttnn_inputs
from pipeline.report import spatial as tissue
from pipeline.report.against_baselines import against_baselines
from pipeline.report.change import change
from pipeline.report.definitions import definitions
from pipeline.report.headline import of_experts, of_forecasts, of_perturbations, of_tissue
from pipeline.report.latent import latent
from pipeline.report.leave_one_out import leave_one_out
from pipeline.report.moe import mixture
from pipeline.report.page import Headline, Part, render
from pipeline.report.population import population
from pipeline.report.provenance import provenance
from pipeline.report.quality import quality
from pipeline.report.results_file import results_markdown
from pipeline.report.robustness import robustness
from pipeline.report.routing import routing
from pipeline.report.specialisation import specialisation
from pipeline.report.training import training

SECTION = "report"


def run(settings: Report) -> None:
    """Read the results of all stages, write reports/report.html and reports/RESULTS.md."""
    results, measured = inputs.read_perturbation(), inputs.read_leave_one_out()
    moe, spatial = moe_inputs.read_moe(), spatial_inputs.read_spatial()
    series, times = forecasting_inputs.read_forecasting(), ttnn_inputs.read_inference()
    drawing = inputs.read_drawing(paths.DAG)
    # The page shows all parameters, and so dvc.yaml lists the whole file for this stage.
    parameters = read_yaml(paths.PARAMS)
    systems = [of_perturbations(results, measured), of_experts(moe), of_tissue(spatial), of_forecasts(series)]
    parts = [
        Part(
            "Perturbations",
            [
                against_baselines(results),
                change(results),
                population(results),
                leave_one_out(measured),
                definitions(results.board.metrics, results.board.methods),
                latent(results.latent),
                training({"VAE": results.vae, "Flow": results.flow}),
                quality(results.quality, results.dataset["control"]),
            ],
        ),
        Part("Mixture of experts", [mixture(moe), routing(moe), robustness(moe)]),
        Part("Tissue", [tissue.tissue(spatial), spatial_left_out.left_out(spatial)]),
        Part(
            "Forecasting",
            [
                forecasts.forecasting(series),
                specialisation(series),
                forecasts.measured(series),
                ttnn.inference(times),
            ],
        ),
        Part("This run", [provenance(results.dataset, parameters, drawing)]),
    ]
    first = Headline(systems)
    page = render(settings.title, first, parts)
    text = results_markdown(first, results, moe, spatial, series, times)
    write_text(paths.REPORT, page)
    write_text(paths.RESULTS, text)


if __name__ == "__main__":
    run_stage(SECTION, run)
