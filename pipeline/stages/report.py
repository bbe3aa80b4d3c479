"""Write the report: one HTML page that works offline, from what all other stages found out."""

from pipeline import paths
from pipeline.entry import run_stage
from pipeline.files import write_text
from pipeline.params.reading import read_yaml
from pipeline.params.report import Report
from pipeline.report import inputs
from pipeline.report.against_baselines import against_baselines
from pipeline.report.change import change
from pipeline.report.definitions import definitions
from pipeline.report.headline import headline
from pipeline.report.latent import latent
from pipeline.report.leave_one_out import in_short, leave_one_out
from pipeline.report.page import render
from pipeline.report.population import population
from pipeline.report.provenance import provenance
from pipeline.report.quality import quality
from pipeline.report.training import training

SECTION = "report"


def run(settings: Report) -> None:
    """Read the results of all stages, write reports/report.html."""
    results, measured = inputs.read_perturbation(), inputs.read_leave_one_out()
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
        provenance(results.dataset, parameters, inputs.read_drawing(paths.DAG)),
    ]
    first = headline(results, [f"On measured cells: {in_short(measured)}"])
    write_text(paths.REPORT, render(settings.title, first, sections))


if __name__ == "__main__":
    run_stage(SECTION, run)
