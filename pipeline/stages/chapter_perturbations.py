"""Draw the chapter on perturbations: what training and evaluation found, and measured cells."""

from pipeline.entry import run_stage
from pipeline.report.against_baselines import against_baselines
from pipeline.report.change import change
from pipeline.report.chapter import write_chapter
from pipeline.report.definitions import definitions
from pipeline.report.inputs import read_leave_one_out, read_perturbation
from pipeline.report.latent import latent
from pipeline.report.leave_one_out import leave_one_out
from pipeline.report.page import Part
from pipeline.report.perturbation_summary import card, results
from pipeline.report.population import population
from pipeline.report.quality import quality
from pipeline.report.training import training


def run() -> None:
    """Read the results on perturbations, write reports/chapters/perturbations.json."""
    found, measured = read_perturbation(), read_leave_one_out()
    sections = [
        against_baselines(found),
        change(found),
        population(found),
        leave_one_out(measured),
        definitions(found.board.metrics, found.board.methods),
        latent(found.latent),
        training({"VAE": found.vae, "Flow": found.flow}),
        quality(found.quality, found.dataset["control"]),
    ]
    write_chapter("perturbations", Part("Perturbations", sections), card(found, measured), results(found))


if __name__ == "__main__":
    run_stage(None, run)
