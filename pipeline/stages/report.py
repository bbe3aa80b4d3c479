"""Write the report: one HTML page that works offline, from what all other stages found out."""

from pipeline import paths
from pipeline.entry import run_stage
from pipeline.files import write_text
from pipeline.params import Report, load_params
from pipeline.report import inputs, perturbation
from pipeline.report.page import render
from pipeline.report.provenance import provenance
from pipeline.report.quality import quality
from pipeline.report.training import training

SECTION = "report"


def run(settings: Report) -> None:
    """Read the results of all stages, write reports/report.html."""
    results = inputs.read_perturbation()
    # The page shows all parameters, and so dvc.yaml lists the whole file for this stage.
    parameters = load_params().model_dump()
    sections = [
        perturbation.scores(results),
        perturbation.held_out(results),
        perturbation.latent(results),
        training({"VAE": results.vae, "Flow": results.flow}),
        quality(results.quality, results.dataset["control"]),
        provenance(results.dataset, parameters, inputs.read_drawing(paths.DAG)),
    ]
    write_text(paths.REPORT, render(settings.title, perturbation.headline(results), sections))


if __name__ == "__main__":
    run_stage(SECTION, run)
