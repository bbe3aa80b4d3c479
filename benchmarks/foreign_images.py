"""Confidence of a classifier of small colour photographs in images it has never seen the like of, and of the same
images with other contrast, sharpness and brightness.

    python -m benchmarks.foreign_images --data ../shared/data/cifar10_subset_bin.tar.gz

Trains the dense network of bayes-moe with its own objective, optimiser and schedule, once, and prints a markdown table
of mean confidence and of the AUROC in telling images from test images by their lower confidence: why it can be below
0.5. Test images are looked at to explain a score, not to choose anything.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.processes import load
from pipeline.bayes_moe.data.embedded import read_embedded
from pipeline.bayes_moe.data.image_source import read_image_source
from pipeline.bayes_moe.data.images import Images, fitted
from pipeline.bayes_moe.data.resident import ResidentImages
from pipeline.bayes_moe.metrics.out_of_distribution import auroc
from pipeline.bayes_moe.model.classifier import ClassifierObjective, logits
from pipeline.bayes_moe.model.resnet import ResNet18
from pipeline.bayes_moe.params.sweep import Point, Recipe
from pipeline.bayes_moe.stages.moe_sweep import Training, untrained

CPU = torch.device("cpu")

Pixels = npt.NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--width", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = read_image_source(arguments.data, 32, None)
    train, test = source.splits["train"], source.splits["test"]
    model = trained(train, len(source.classes), arguments.width, arguments.epochs)
    known_N = confidence(model, test.image_NHWC)
    print(f"{load()}; torch {torch.__version__}, width {arguments.width}, {arguments.epochs} epochs\n")
    print("| images | mean confidence | AUROC |\n|---|--:|--:|")
    print(f"| test images | {known_N.mean():.2f} | |")
    for name, image_NHWC in foreign(train.image_NHWC, test.image_NHWC).items():
        other_M = confidence(model, image_NHWC)
        print(f"| {name} | {other_M.mean():.2f} | {auroc(known_N, other_M):.2f} |")


def trained(train: Images, classes: int, width: int, epochs: int) -> ResNet18:
    """The dense network after so many epochs, at a learning rate that falls to zero along a cosine."""
    recipe = Recipe(width=width, epochs=epochs)
    model = untrained(train, classes, Training.of(recipe, Point(), 0))
    objective = ClassifierObjective(model, shift=4, flip=True)
    batches, generator = ResidentImages(train, recipe.batch_size, CPU, 0), torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))
    for epoch in range(epochs):
        for batch in batches.epoch(epoch):
            optimizer.zero_grad()
            objective(batch, generator)["loss"].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def confidence(model: ResNet18, image_NHWC: Pixels) -> npt.NDArray[np.float64]:
    """The largest probability of each image, (N,)."""
    images = Images(image_NHWC, np.zeros(len(image_NHWC), np.int64))
    logit_NK = logits(model, ResidentImages(images, 64, CPU).epoch(0)).double()
    return np.asarray(logit_NK.softmax(1).max(1).values.numpy())


def foreign(train: Pixels, test: Pixels) -> dict[str, Pixels]:
    """Images by name; mean and deviation of the training images' channels."""
    mean, deviation = train.mean((0, 1, 2)), train.std((0, 1, 2))
    read = {
        name: read_embedded(Path(f"data/embedded/{name}.yaml")).splits["test"] for name in ("digits", "photographs")
    }
    digits, photographs = (fitted(images.image_NHWC, train.shape[1:]) for images in read.values())
    standard = (digits - digits.mean((0, 1, 2))) / digits.std((0, 1, 2))
    coarse = test.reshape(len(test), 8, 4, 8, 4, -1).mean((2, 4))
    random = np.random.default_rng(0)
    return {
        "digits": digits,
        "digits, mean and deviation of the training images": _pixels(standard * deviation + mean),
        "digits, black on white": 255 - digits,
        "digits, a quarter of the contrast": _pixels(mean + (digits - mean) / 4),
        "photographs": photographs,
        "test images, twice the contrast": _pixels(mean + 2 * (test - mean)),
        "test images, 8 x 8 pixels": _pixels(coarse.repeat(4, axis=1).repeat(4, axis=2)),
        "noise": random.integers(0, 256, (200, *train.shape[1:])).astype(np.uint8),
        "black": np.zeros((200, *train.shape[1:]), np.uint8),
    }


def _pixels(value: npt.NDArray[np.float64]) -> Pixels:
    return np.rint(value).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
