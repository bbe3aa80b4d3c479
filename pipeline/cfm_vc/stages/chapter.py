"""Draw the chapter on perturbations: what training and evaluation found, and measured cells."""

from pipeline.cfm_vc.paths import PATHS
from pipeline.cfm_vc.report.against_baselines import against_baselines
from pipeline.cfm_vc.report.change import change
from pipeline.cfm_vc.report.definitions import definitions
from pipeline.cfm_vc.report.latent import latent
from pipeline.cfm_vc.report.leave_one_out import leave_one_out
from pipeline.cfm_vc.report.population import population
from pipeline.cfm_vc.report.quality import quality
from pipeline.cfm_vc.report.results import read_leave_one_out, read_perturbation
from pipeline.cfm_vc.report.summary import card, results
from pipeline.cfm_vc.report.training import training
from pipeline.core.entry import run_stage
from pipeline.report.chapter import write_chapter
from pipeline.report.page import Part


def run() -> None:
    """Read the results on perturbations, write reports/chapters/cfm_vc.json."""
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
    write_chapter(PATHS, Part("CFM-VC: perturbation responses", sections), card(found, measured), results(found))


if __name__ == "__main__":
    run_stage(None, run)
