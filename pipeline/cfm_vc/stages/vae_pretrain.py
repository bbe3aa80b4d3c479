"""Train the VAE of counts on the training split of the store."""

import numpy as np
import torch

from pipeline.cfm_vc.data.count_source import count_batches
from pipeline.cfm_vc.model.marginal_nb import marginal_negative_binomial
from pipeline.cfm_vc.model.vae import Vae, VaeConfig, VaeObjective
from pipeline.cfm_vc.params.vae import Vae as VaeSettings
from pipeline.core.entry import run_study_stage
from pipeline.core.files import sha256, write_json
from pipeline.core.paths import StudyPaths
from pipeline.data.store import DATASET, open_store
from pipeline.training.checkpoint import checkpoints
from pipeline.training.curves import write_curve
from pipeline.training.determinism import initial_weights, member_seed, prepare_device
from pipeline.training.fit import fit
from pipeline.training.metrics import training_metrics
from pipeline.training.weights import save_model

SECTION = "cfm_vc.vae"


def run(settings: VaeSettings, at: StudyPaths) -> None:
    """Read the store; write the model, its learning curve and its final losses."""
    settings = settings.model_copy(update={"seed": member_seed(at.seed, at.member)})
    device = prepare_device(settings.device, settings.threads)
    store = open_store(at.store)
    train, validation = count_batches(store, settings, device)

    config = VaeConfig.of(
        settings,
        genes=len(store.genes),
        cell_types=len(store.categories["cell_type"]),
        batches=len(store.categories["batch"]),
        normalised_total=max(1.0, float(np.median(store.library_sizes("train")))),
    )
    with initial_weights(settings.seed):
        model = Vae(config)
    log_share_G, log_theta_G = marginal_negative_binomial(store.blocks("train", named=False), config.genes)
    model.start_from(torch.from_numpy(log_share_G), torch.from_numpy(log_theta_G))

    progress = checkpoints("vae_pretrain", settings, [at.store / DATASET])
    fitted = fit(
        "vae",
        VaeObjective(model, settings.kl_weight, settings.batch_weight),
        train,
        validation,
        settings,
        device,
        progress,
    )

    save_model(
        at.model / "vae",
        model,
        {
            "control": store.control,
            "categories": store.categories,
            "genes": store.genes,
            "provenance": {"dataset_sha256": sha256(at.store / DATASET), "parameters": settings.model_dump()},
        },
    )
    write_curve(at.curves / f"{at.run}-vae.csv", fitted.curve)
    write_json(at.training / f"{at.run}-vae.json", training_metrics(fitted, model))
    progress.remove()


if __name__ == "__main__":
    run_study_stage(SECTION, run, trains=True)
