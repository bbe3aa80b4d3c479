"""Score the model of one run, and the baselines, on the held-out perturbation responses: the same cells and metrics."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from threadpoolctl import threadpool_limits

from pipeline.cfm_vc.data.contexts import load_contexts
from pipeline.cfm_vc.data.held_out import KNOWN, blocks, read_held_out, read_sample
from pipeline.cfm_vc.evaluation.judge import LATENT, MODEL, judge
from pipeline.cfm_vc.evaluation.result_rows import result_rows
from pipeline.cfm_vc.evaluation.tables import expression_of, latent_table
from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.cfm_vc.members import load_members
from pipeline.cfm_vc.model.baselines import BASELINES
from pipeline.cfm_vc.model.effects import Effects
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.latent_arithmetic import group_latents, latent_arithmetic
from pipeline.cfm_vc.model.latents import intrinsic_latents
from pipeline.cfm_vc.model.predict import cfm_vc
from pipeline.cfm_vc.model.question import Method
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.model.vae import Vae
from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder
from pipeline.core.paths import StudyPaths
from pipeline.data.store import open_store
from pipeline.metrics.ranking import table
from pipeline.metrics.results import write_results
from pipeline.metrics.runs import RESULTS
from pipeline.metrics.scoreboard import scoreboard
from pipeline.training.determinism import prepare_device
from pipeline.training.weights import load_model

SECTION = "cfm_vc.evaluate"
LATENT_CELLS = 2000  # in the figure of the latent space


def run(settings: Evaluate, at: StudyPaths) -> None:
    """Score every method on every held-out group; write the rows of results and the tables behind the figures."""
    device = prepare_device(settings.device, settings.threads)
    with threadpool_limits(settings.threads):  # torch's thread limit does not apply to numpy
        store = open_store(at.store)
        vae, model = load_models(settings, at.model, device)
        held_out = read_held_out(store, settings.cells_per_group, settings.seed)
        latents = group_latents(vae, blocks(store, KNOWN, named=False), device)
        methods = {MODEL: model, **BASELINES, LATENT: latent_arithmetic(vae, latents, settings.seed, device)}
        findings = judge(store, held_out, methods, settings)
        sample = read_sample(store, list(held_out.known), LATENT_CELLS, settings.seed)
        expression_BG = expression_of(sample, held_out.target)
        latent = latent_table(store, sample, expression_BG, intrinsic_latents(vae, sample, device))
    rows = result_rows(store, findings)
    with atomic_folder(at.scored) as folder:
        write_results(folder / RESULTS, at, rows)
        pq.write_table(pa.concat_tables(findings.changes), folder / "change.parquet")
        pq.write_table(pa.concat_tables(findings.populations), folder / "population.parquet")
        pq.write_table(latent, folder / "expression_latent.parquet")
    print(f"mean over {len(held_out.groups)} held-out groups (* best; ceilings and controls do not compete)")
    print(table(scoreboard(rows, GLOSSARY)))


def load_models(settings: Evaluate, folder: Path, device: torch.device) -> tuple[Vae, Method]:
    """The trained VAE (of the first member), and CFM-VC as a method."""
    vae, _ = load_model(folder / "vae", Vae, device)
    flow, trained = load_model(folder / "flow", FlowField, device)
    solution = Solution(trained["source"], settings.steps, settings.solver, settings.guidance)
    others = load_members(folder, device, settings.members)
    effects = Effects(vae, flow, solution, load_contexts(folder / "contexts"), others)
    return vae, cfm_vc(vae, flow, solution, effects, settings.seed, device)


if __name__ == "__main__":
    run_study_stage(SECTION, run)
