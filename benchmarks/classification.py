"""Images per second of every method of the sweep, by turns in one run: each point, averages over passes with noise, and
ensembles of the dense twin.

    python -m benchmarks.classification

The points and the recipe are those of the default study in params.yaml, the images its test images, the weights
untrained: neither changes what an image costs. Prints a markdown table of medians and of ratios to the dense twin in
the same place, paired turn by turn; of one thread, of CPU time.
"""

import argparse
import platform
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.mixture import clock
from benchmarks.processes import load
from pipeline.bayes_moe.data.embedded import read_embedded
from pipeline.bayes_moe.data.resident import ResidentImages, evaluated_at_once
from pipeline.bayes_moe.model.classifier import averaged, logits
from pipeline.bayes_moe.model.resnet import ResNet18
from pipeline.bayes_moe.model.resnet_cost import classifier_cost
from pipeline.bayes_moe.stages.moe_sweep import Training, untrained
from pipeline.registry import load_params

STUDY = "digits"

Method = tuple[str, str, int, Callable[[], object]]  # name, point, FLOPs of an image, what classifies all of them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    study = load_params().bayes_moe.studies[STUDY]
    sweep, recipe = study.sweep, study.sweep.recipe
    source = read_embedded(Path(study.ingest.path))
    test = source.splits["test"]
    at_once = evaluated_at_once(test, recipe.batch_size)
    batches = ResidentImages(test, at_once, torch.device("cpu"))
    height, width, channels = test.image_NHWC.shape[1:]
    methods: list[Method] = []
    for name, point in sweep.points.items():
        training = Training.of(recipe, point, recipe.seed)
        model = untrained(source.splits["train"], len(source.classes), training).eval()
        cost = classifier_cost(model, channels, height, width)
        networks = len(recipe.seeds) if point.is_twin else 1
        for size in range(1, networks + 1):
            label = name if size == 1 else f"{size} x {name}"
            methods.append((label, name, size * cost["activated_flops"], partial(_ensemble, model, batches, size)))
        if model.stochastic:
            most = max(recipe.samples)
            flops = cost["trunk_flops"] + most * (cost["activated_flops"] - cost["trunk_flops"])
            methods.append((f"{name}, {most} samples", name, flops, partial(_sampled, model, batches, most)))
    seconds: dict[str, list[float]] = {label: [] for label, *_ in methods}
    now = clock()
    for turn in range(arguments.turns + 2):
        for label, _, _, classify in methods:
            began = now()
            classify()
            if turn >= 2:
                seconds[label].append(now() - began)
    print(
        f"{load()}; {arguments.threads} threads, {now.__name__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )
    print(f"{len(test.label_N):,} images of {height} x {width} pixels, at most {at_once} at a time\n")
    print("| method | images/s | times the dense one's | MFLOP, active |\n|---|---|---|---|")
    for label, name, flops, _ in methods:
        times = seconds[label]
        ratio = statistics.median(b / a for a, b in zip(times, seconds[sweep.twin_of(name)], strict=True))
        rate = len(test.label_N) / statistics.median(times)
        print(f"| {label} | {rate:,.0f} | {ratio:.2f} | {flops / 1e6:.3f} |")


def _ensemble(model: ResNet18, batches: ResidentImages, size: int) -> object:
    """As many passes as there are networks: which weights they have costs nothing."""
    return torch.stack([logits(model, batches.epoch(0)).log_softmax(1) for _ in range(size)]).logsumexp(0)


def _sampled(model: ResNet18, batches: ResidentImages, samples: int) -> object:
    return averaged(model, batches.epoch(0), [samples], torch.Generator().manual_seed(0))


if __name__ == "__main__":
    main()
