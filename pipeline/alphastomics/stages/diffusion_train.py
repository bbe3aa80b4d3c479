"""Train AlphaSTomics on the training sections of the spatial store."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.alphastomics import out_of_fold
from pipeline.alphastomics.data.near_estimates import NewEstimates, TrainingEstimates, measured
from pipeline.alphastomics.data.neighbourhoods import AllNeighbourhoods, SampledNeighbourhoods
from pipeline.alphastomics.data.sections import Section, read_sections
from pipeline.alphastomics.data.standardised import Standard
from pipeline.alphastomics.model.measured_cells import MeasuredCells
from pipeline.alphastomics.model.network import SpatialConfig, SpatialDiffusion
from pipeline.alphastomics.model.objective import Noising, SpatialObjective
from pipeline.alphastomics.model.tissue_inference import TrainedTissue
from pipeline.alphastomics.params.diffusion import Diffusion
from pipeline.core.entry import run_study_stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256, write_json
from pipeline.core.paths import StudyPaths
from pipeline.data.store import DATASET, Store, open_store
from pipeline.training.checkpoint import Checkpoints, checkpoints
from pipeline.training.curves import write_curve
from pipeline.training.determinism import initial_weights, prepare_device
from pipeline.training.fit import Fitted, fit
from pipeline.training.metrics import training_metrics
from pipeline.training.weights import save_model

SECTION = "alphastomics.diffusion"

VALIDATION_TIMES = 8  # passes over the cells, each with new tasks, times and noise, for a less noisy loss
MOST_VALIDATED = 32_768  # cells in all of them, of large sections: the loss is as exact then


def run(settings: Diffusion, at: StudyPaths) -> None:
    """Read the store; write the model, its learning curve and its final losses."""
    settings = settings.model_copy(update={"seed": at.seed})
    kept = checkpoints("diffusion_train", settings, [at.store / DATASET])
    fitted, model, description = train_model(settings, at.store, kept)
    save_model(at.model, model, description)
    write_curve(at.curves / f"{at.run}.csv", fitted.curve)
    write_json(at.training / f"{at.run}.json", training_metrics(fitted, model))
    kept.remove()


def train_model(
    settings: Diffusion, folder: Path, kept: Checkpoints | None
) -> tuple[Fitted, SpatialDiffusion, dict[str, Any]]:
    """The model trained on the store in `folder`, and what is saved with it beside its configuration."""
    device = prepare_device(settings.device, settings.threads)
    store = open_store(folder, "spatial")
    train, validation = read_sections(store, "train"), read_sections(store, "validation")
    _check_sizes(train, settings)
    standard = Standard.of([section.cells for section in train])
    noising: dict[str, Any] = {
        "steps": settings.steps,
        "expression_exponent": settings.expression_exponent,
        "position_exponent": settings.position_exponent,
        "prediction": settings.prediction,
    }
    model = untrained(settings, store)
    objective = SpatialObjective(
        model,
        Noising.of(**noising),
        modes=settings.modes.model_dump(),
        noise_share=settings.noise_share,
        condition_dropout=settings.condition_dropout,
        position_weight=settings.position_weight,
        neighbour_weight=settings.neighbour_weight,
        masking=settings.masking,
        masked_genes=settings.masked_genes,
        masked_dimensions=settings.masked_dimensions,
        masked_weight=settings.masked_weight,
        balance_weight=settings.balance_weight,
    )
    of_training: TrainingEstimates | None = None
    of_new: NewEstimates | None = None
    if model.config.shows_estimates:
        of_training = TrainingEstimates(train, standard, store.dataset["split"], settings.seed)
        of_new = NewEstimates(MeasuredCells.of(*measured(train, standard, settings.seed)))
    size, batch, centred = settings.neighbourhood, settings.batch_size, not model.shared_frame
    fitted = fit(
        "diffusion",
        objective,
        SampledNeighbourhoods(
            train,
            standard,
            size,
            settings.neighbourhoods_per_epoch,
            batch,
            device,
            settings.seed,
            settings.scattered,
            settings.thinning,
            centred,
            of_training,
        ),
        AllNeighbourhoods(
            validation,
            standard,
            size,
            batch,
            device,
            settings.seed,
            VALIDATION_TIMES,
            MOST_VALIDATED,
            centred,
            of_new,
        ),
        settings,
        device,
        kept,
    )
    measured_alone = of_new.measured if of_new else None
    trained = TrainedTissue(model, objective.noising, standard, store.categories, measured_alone)
    whole_sections = store.dataset["split"]["test"]["by"] == "sections"
    found = out_of_fold.fitted(trained, train, validation, of_training, settings.seed, whole_sections)
    if model.config.shows_estimates:
        kept_cells = measured([*train, *validation], standard, settings.seed)
        model.keep(*(torch.from_numpy(part).to(device) for part in kept_cells))
    description = {
        "genes": store.genes,
        "categories": store.categories,
        "standard": standard.described(),
        "noising": noising,
        **found,
        "neighbourhood": size,
        "frames": {section.name: section.frame.described() for section in train},
        "provenance": {"dataset_sha256": sha256(folder / DATASET), "parameters": settings.model_dump()},
    }
    return fitted, model, description


def untrained(settings: Diffusion, store: Store) -> SpatialDiffusion:
    """The network of these settings, with the initial weights of its seed."""
    config = SpatialConfig.of(
        settings,
        genes=len(store.genes),
        space=store.dimensions,
        cell_types=len(store.categories["cell_type"]),
        sections=len(store.categories["section"]),
    )
    with initial_weights(settings.seed):
        return SpatialDiffusion(config)


def _check_sizes(train: list[Section], settings: Diffusion) -> None:
    """ExpectedError where a section has fewer training cells than a neighbourhood."""
    small = [
        f"{section.name} ({len(section.cells):,})" for section in train if len(section.cells) < settings.neighbourhood
    ]
    if small:
        least = int(np.min([len(section.cells) for section in train]))
        raise ExpectedError(
            f"a neighbourhood has {settings.neighbourhood:,} cells, but fewer are trained on in section "
            f"{', '.join(small)}; set {SECTION}.neighbourhood to {least:,} or fewer in params.yaml, or leave "
            "the section out of the data"
        )


if __name__ == "__main__":
    run_study_stage(SECTION, run, trains=True)
