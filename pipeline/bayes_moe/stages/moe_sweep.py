"""Train one classifier of the sweep, once for each seed, and write its predictions on held-out images.

Nothing is scored here: `evaluate` compares the points. The test images are used once, with the weights chosen
on the validation images.
"""

import numpy as np
import torch
from safetensors.numpy import save

from pipeline.bayes_moe.data.images import Images, read_images, training_and_validation
from pipeline.bayes_moe.data.resident import ResidentImages, evaluated_at_once
from pipeline.bayes_moe.model.classifier import ClassifierObjective
from pipeline.bayes_moe.model.epoch_calibration import epoch_calibration
from pipeline.bayes_moe.model.predictions import EvaluationImages
from pipeline.bayes_moe.model.resnet import ResNet18, ResNetConfig
from pipeline.bayes_moe.model.resnet_cost import classifier_cost
from pipeline.bayes_moe.params.sweep import Point, Recipe, Sweep
from pipeline.bayes_moe.paths import ood_raw
from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder, read_json
from pipeline.core.paths import StudyPaths
from pipeline.core.sealed import write_sealed
from pipeline.params.sweep import Training as SweepTraining
from pipeline.training.determinism import initial_weights, prepare_device
from pipeline.training.sweep import PointTraining
from pipeline.training.weights import save_model

SECTION = "bayes_moe.sweep"

Training = SweepTraining[Recipe, Point]


def run(settings: Sweep, at: StudyPaths) -> None:
    """Write the classifiers of a point, their learning curves and its final losses."""
    recipe, point, images = settings.recipe, settings.points[str(at.point)], at.raw
    device = prepare_device(recipe.device, recipe.threads)
    train, validation = training_and_validation(images, recipe.validation_share, recipe.seed)
    classes = read_json(images / "source.json")["classes"]
    evaluated = EvaluationImages(
        validation,
        read_images(images / "test"),
        read_images(ood_raw(at) / "test"),
        corrupted=recipe.corrupted_pictures,
        seed=recipe.seed,
        batch_size=recipe.batch_size,
        device=device,
    )
    corrupted = evaluated.corrupted()
    held = ResidentImages(validation, evaluated_at_once(validation, recipe.batch_size), device)
    predictions = []
    trainings = PointTraining(at, "moe_sweep", sorted(images.glob("*/*.npy")), device)
    with atomic_folder(at.model) as folder:
        for seed in recipe.seeds:
            training, key = Training.of(recipe, point, seed), f"seed_{seed}"
            model = untrained(train, len(classes), training)
            objective = ClassifierObjective(
                model,
                shift=recipe.shift,
                flip=recipe.flip,
                balance=point.balance,
                balance_weight=point.balance_weight,
                z_weight=point.z_weight,
                divergence_weight=point.divergence_weight,
                diversity_weight=point.diversity_weight,
            )
            batches = ResidentImages(train, recipe.batch_size, device, seed)
            trainings.fit(key, training, objective, batches, held, epoch_calibration(held))
            save_model(folder / key, model, {"classes": classes, **training.model_dump()})
            predictions.append(evaluated.predictions(model, corrupted, recipe.samples, seed))
        stacked = {key: np.stack([part[key] for part in predictions]) for key in predictions[0]}
        (folder / "answers.safetensors").write_bytes(save(stacked | evaluated.labels()))
        height, width, channels = train.image_NHWC.shape[1:]
        about = {"point": point.model_dump(), "seeds": recipe.seeds, "samples": recipe.samples, "classes": classes}
        about["cost"] = classifier_cost(model, channels, height, width)
        write_sealed(folder / "about.json", about, "answers.safetensors")
    trainings.write()


def untrained(train: Images, classes: int, training: Training) -> ResNet18:
    """The classifier of a point, with the initial weights of its seed."""
    recipe, point = training.recipe, training.point
    image_NHWC = train.image_NHWC.astype(np.float64) / train.white
    config = ResNetConfig.of(
        recipe,
        point,
        channels=image_NHWC.shape[3],
        classes=classes,
        network=point.network,
        mean=image_NHWC.mean((0, 1, 2)).tolist(),
        deviation=np.maximum(image_NHWC.std((0, 1, 2)), 1 / 255).tolist(),
    )
    with initial_weights(recipe.seed):
        model = ResNet18(config)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # faster


if __name__ == "__main__":
    run_study_stage(SECTION, run, trains=True)
