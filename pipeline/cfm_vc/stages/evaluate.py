"""Evaluate the model and the baselines on held-out perturbation responses, with the same cells and metrics."""

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from threadpoolctl import threadpool_limits

from pipeline.cfm_vc.data.held_out import read_held_out, read_sample
from pipeline.cfm_vc.decisive import decisive
from pipeline.cfm_vc.evaluation.judge import MODEL, judge
from pipeline.cfm_vc.evaluation.result_rows import result_rows
from pipeline.cfm_vc.evaluation.tables import expression_of, latent_table
from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.cfm_vc.model.baselines import BASELINES, Method
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.latents import intrinsic_latents
from pipeline.cfm_vc.model.predict import Solution, cfm_vc
from pipeline.cfm_vc.model.vae import Vae
from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.cfm_vc.paths import PATHS
from pipeline.core.entry import run_stage
from pipeline.core.files import atomic_folder
from pipeline.data.store import open_store
from pipeline.metrics.headlines import write_headlines
from pipeline.metrics.ranking import table
from pipeline.metrics.results import write_results
from pipeline.metrics.scoreboard import scoreboard
from pipeline.metrics.verdict import compare
from pipeline.training.determinism import prepare_device
from pipeline.training.weights import load_model

SECTION = "cfm_vc.evaluate"
LATENT_CELLS = 2000  # in the figure of the latent space


def run(settings: Evaluate) -> None:
    """Score every method on every held-out group; write the results, the headlines and the tables behind the
    figures."""
    device = prepare_device(settings.device, settings.threads)
    with threadpool_limits(settings.threads):  # torch's thread limit does not apply to numpy
        store = open_store(PATHS.store)
        vae, model = load_models(settings, device)
        held_out = read_held_out(store, settings.cells_per_group, settings.seed)
        findings = judge(store, held_out, {MODEL: model, **BASELINES}, settings)
        sample = read_sample(store, list(held_out.known), LATENT_CELLS, settings.seed)
        expression_BG = expression_of(sample, held_out.target)
        latent = latent_table(store, sample, expression_BG, intrinsic_latents(vae, sample, device))
    rows = result_rows(store, findings)
    board = scoreboard(rows, GLOSSARY)
    write_results(PATHS.results, PATHS.name, rows)
    write_headlines(PATHS.headlines, {metric.name: compare(board, metric) for metric in decisive(board)})
    with atomic_folder(PATHS.details) as folder:
        pq.write_table(pa.concat_tables(findings.changes), folder / "change.parquet")
        pq.write_table(pa.concat_tables(findings.populations), folder / "population.parquet")
        pq.write_table(latent, folder / "expression_latent.parquet")
    print(f"mean over {len(held_out.groups)} held-out groups (* best; ceilings and controls do not compete)")
    print(table(board))


def load_models(settings: Evaluate, device: torch.device) -> tuple[Vae, Method]:
    """The trained VAE, and CFM-VC as a method."""
    vae, _ = load_model(PATHS.models / "vae", Vae, device)
    flow, trained = load_model(PATHS.models / "flow", FlowField, device)
    solution = Solution(trained["source"], settings.steps, settings.solver, settings.guidance)
    return vae, cfm_vc(vae, flow, solution, settings.seed, device)


if __name__ == "__main__":
    run_stage(SECTION, run)
