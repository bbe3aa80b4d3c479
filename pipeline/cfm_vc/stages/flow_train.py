"""Train the flow between latents of the frozen VAE, and measure the size of its effects. Every cell is encoded once,
and its latent is kept in memory.

Counts are streamed from the store. What is kept of a cell takes about 0.3 kB with 16 latents, so 10^7 cells take 3 GB.
"""

from dataclasses import replace
from functools import partial

import torch

from pipeline.cfm_vc.data.contexts import Calibration, read_contexts, save_contexts
from pipeline.cfm_vc.model.effects import Effects, calibrated
from pipeline.cfm_vc.model.flow import FlowConfig, FlowField
from pipeline.cfm_vc.model.flow_matching import FlowObjective
from pipeline.cfm_vc.model.latent_pairs import LatentPairs, Pairing
from pipeline.cfm_vc.model.latents import encoded_cells
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.model.vae import Vae
from pipeline.cfm_vc.params.flow import Flow as FlowSettings
from pipeline.core.entry import run_study_stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256, write_json
from pipeline.core.paths import StudyPaths
from pipeline.data.store import DATASET, Split, open_store
from pipeline.training.checkpoint import checkpoints
from pipeline.training.curves import write_curve
from pipeline.training.determinism import initial_weights, member_seed, prepare_device
from pipeline.training.fit import fit
from pipeline.training.metrics import training_metrics
from pipeline.training.weights import WEIGHTS, load_model, save_model

SECTION = "cfm_vc.flow"


def run(settings: FlowSettings, at: StudyPaths) -> None:
    """Read the store and the VAE; write the flow, what it keeps of the contexts, its learning curve and losses."""
    settings = settings.model_copy(update={"seed": member_seed(at.seed, at.member)})
    vae_folder = at.model / "vae"
    device = prepare_device(settings.device, settings.threads)
    store = open_store(at.store)
    vae, description = load_model(vae_folder, Vae, device)
    if description["genes"] != store.genes or description["categories"] != store.categories:
        raise ExpectedError(
            f"{vae_folder} was trained on different data than {at.store}; retrain it: dvc repro "
            f"vae_pretrain@{at.instance}"
        )
    control = store.categories["perturbation"].index(store.control)
    splits: tuple[Split, ...] = ("train", "validation")
    train, validation = (
        encoded_cells(vae, store.blocks(split, named=False), device, partial(store.names, split)) for split in splits
    )

    doses_CP = torch.from_numpy(store.doses.matrix(store.categories["perturbation"]))
    config = FlowConfig.of(
        settings,
        dimensions=vae.config.latent_intrinsic,
        treatments=len(store.doses.treatments),
        cell_types=len(store.categories["cell_type"]),
        batches=len(store.categories["batch"]),
        spatial=store.dimensions,
    )
    with initial_weights(settings.seed):
        model = FlowField(config)
    pairing = Pairing(settings.source, settings.coupling, control, store.categories["cell_type"])
    model.remember(doses_CP[train.perturbation], torch.from_numpy(train.cell_type))

    progress = checkpoints("flow_train", settings, [at.store / DATASET, vae_folder / WEIGHTS])
    fitted = fit(
        "flow",
        FlowObjective(model, settings.distribution_weight, settings.perturbation_dropout),
        LatentPairs(train, train, pairing, doses_CP, settings.batch_size, device, settings.seed),
        LatentPairs(validation, train, pairing, doses_CP, settings.batch_size, device, settings.seed, fixed=True),
        settings,
        device,
        progress,
    )

    save_model(
        at.model / "flow",
        model,
        {
            "source": settings.source,
            "control": store.control,
            "categories": store.categories,
            "doses": store.doses.of_label,
            "spatial": store.dataset.get("spatial"),  # the coordinate frame, applied to new cells
            "provenance": {
                "dataset_sha256": sha256(at.store / DATASET),
                "vae_sha256": sha256(vae_folder / WEIGHTS),
                "parameters": settings.model_dump(),
            },
        },
    )
    contexts, moments = read_contexts(store, Calibration(1.0, settings.prior_weight))
    effects = Effects(vae, model, Solution(settings.source), contexts)
    found = calibrated(effects, moments, contexts, settings.largest_size)
    save_contexts(at.model / "contexts", replace(contexts, calibration=found))
    print(
        f"flow: effects x {found.size:.2f}, their size in the training groups; averaged with the closed form, weight "
        f"{found.prior_weight:.2f}"
    )
    write_curve(at.curves / f"{at.run}-flow.csv", fitted.curve)
    write_json(at.training / f"{at.run}-flow.json", training_metrics(fitted, model))
    progress.remove()


if __name__ == "__main__":
    run_study_stage(SECTION, run, trains=True)
