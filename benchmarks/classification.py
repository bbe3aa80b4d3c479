"""Images per second of every classifier of the sweep, dense and sparse, by turns in one run.

    python -m benchmarks.classification

The points and the recipe are those of params.yaml, the images those of data/raw/bayes_moe (`dvc repro
ingest@bayes_moe` makes them), the weights untrained: neither changes what an image costs. Prints a markdown table of
medians and of ratios to the dense point in the same place, paired turn by turn.
"""

import argparse
import platform
import statistics
import time

import torch

from benchmarks.processes import load
from pipeline.bayes_moe.data.images import read_images
from pipeline.bayes_moe.data.resident import ResidentImages
from pipeline.bayes_moe.model.resnet_cost import classifier_cost
from pipeline.bayes_moe.paths import PATHS
from pipeline.bayes_moe.stages.moe_sweep import Training, untrained
from pipeline.registry import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = load_params().bayes_moe.sweep
    train, test = (read_images(PATHS.raw / split) for split in ("train", "test"))
    batches = ResidentImages(test, settings.recipe.batch_size, torch.device("cpu"))
    height, width, channels = test.image_NHWC.shape[1:]
    classes = int(train.label_N.max()) + 1
    models = {
        name: untrained(train, classes, Training(recipe=settings.recipe, point=point)).eval()
        for name, point in settings.points.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    with torch.no_grad():
        for turn in range(arguments.turns + 2):
            for name, model in models.items():
                began = time.perf_counter()
                for batch in batches.epoch(0):
                    model(batch.x_BCHW)
                if turn >= 2:
                    seconds[name].append(time.perf_counter() - began)
    print(f"{load()}; {arguments.threads} threads, torch {torch.__version__}, Python {platform.python_version()}")
    print(f"{len(test.label_N):,} images of {height} x {width} pixels, {settings.recipe.batch_size} at a time\n")
    print("| point | images/s | times the dense one's | MFLOP, activated | MFLOP, all experts |\n|---|---|---|---|---|")
    for name, times in seconds.items():
        place = settings.points[name].place
        twin = next(n for n, p in settings.points.items() if p.experts is None and p.place == place)
        ratio = statistics.median(b / a for a, b in zip(times, seconds[twin], strict=True))
        cost = classifier_cost(models[name], channels, height, width)
        rate = len(test.label_N) / statistics.median(times)
        print(
            f"| {name} | {rate:,.0f} | {ratio:.2f} | {cost['activated_flops'] / 1e6:.3f} | {cost['flops'] / 1e6:.3f} |"
        )


if __name__ == "__main__":
    main()
