"""Write the report: one HTML page that works offline, from what all other stages found out; its tables as text."""

from pipeline import paths
from pipeline.entry import run_stage
from pipeline.files import write_text
from pipeline.params.reading import read_yaml
from pipeline.params.report import Report
from pipeline.report import inputs, moe_inputs, moe_verdict, spatial_inputs, spatial_left_out, spatial_verdict
from pipeline.report import spatial as tissue
from pipeline.report.against_baselines import against_baselines
from pipeline.report.change import change
from pipeline.report.definitions import definitions
from pipeline.report.headline import headline
from pipeline.report.latent import latent
from pipeline.report.leave_one_out import in_short, leave_one_out
from pipeline.report.moe import ANCHOR, mixture
from pipeline.report.page import Pointer, render
from pipeline.report.population import population
from pipeline.report.provenance import provenance
from pipeline.report.quality import quality
from pipeline.report.results_file import results_markdown
from pipeline.report.robustness import robustness
from pipeline.report.routing import routing
from pipeline.report.training import training

SECTION = "report"


def run(settings: Report) -> None:
    """Read the results of all stages, write reports/report.html and reports/RESULTS.md."""
    results, measured = inputs.read_perturbation(), inputs.read_leave_one_out()
    moe, spatial = moe_inputs.read_moe(), spatial_inputs.read_spatial()
    drawing = inputs.read_drawing(paths.DAG)
    # The page shows all parameters, and so dvc.yaml lists the whole file for this stage.
    parameters = read_yaml(paths.PARAMS)
    sections = [
        against_baselines(results.board),
        change(results),
        population(results),
        leave_one_out(measured),
        definitions(results.board.metrics, results.board.methods),
        latent(results.latent),
        training({"VAE": results.vae, "Flow": results.flow}),
        quality(results.quality, results.dataset["control"]),
        mixture(moe),
        routing(moe),
        robustness(moe),
        tissue.tissue(spatial),
        spatial_left_out.left_out(spatial),
        provenance(results.dataset, parameters, drawing),
    ]
    pointers = [
        Pointer(moe_verdict.in_short(moe), ANCHOR, "Figures and tables"),
        Pointer(spatial_verdict.in_short(spatial), tissue.ANCHOR, "The tissue, measured and predicted"),
    ]
    first = headline(results, [f"On measured cells: {in_short(measured)}"], pointers)
    page, text = render(settings.title, first, sections), results_markdown(first, results.board, moe, spatial)
    write_text(paths.REPORT, page)
    write_text(paths.RESULTS, text)


if __name__ == "__main__":
    run_stage(SECTION, run)
