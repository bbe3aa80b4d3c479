"""Training in one process and in two of one thread each, every system, by turns in one run.

    python -m benchmarks.processes_training
    python -m benchmarks.processes_training --quick

A turn is one epoch by `fit`, with its validation and its final losses; the two ways take turns, and which is first
changes from turn to turn. Data are random, of the sizes below; weights start untrained at every turn. While one process
trains, the other waits for it without using a core. Prints a markdown table of medians; ratios are paired turn by turn,
the last one of the seconds that the first process kept a core busy: what would be gained on an idle machine where no
message took time.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks.generated_store import write_store
from benchmarks.processes import environment, load
from benchmarks.spatial_step import Step
from pipeline.alphastomics.data.neighbourhoods import NeighbourhoodBatch
from pipeline.bayes_moe.data.images import Images
from pipeline.bayes_moe.data.resident import ResidentImages
from pipeline.bayes_moe.model.classifier import ClassifierObjective
from pipeline.bayes_moe.model.resnet import ResNet18, ResNetConfig
from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.model.flow import FlowConfig, FlowField
from pipeline.cfm_vc.model.flow_matching import FlowObjective
from pipeline.cfm_vc.model.latent_pairs import EncodedCells, LatentPairs, Pairing
from pipeline.cfm_vc.model.vae import Vae, VaeConfig, VaeObjective
from pipeline.core.machine import describe_machine
from pipeline.core.rank import rank
from pipeline.data.store import open_store
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.time_features import FEATURES
from pipeline.mole.data.windows import Windows
from pipeline.mole.model.mixture import ForecastObjective, Mole, MoleConfig
from pipeline.params.optimisation import Optimisation
from pipeline.training.determinism import prepare_device
from pipeline.training.fit import fit
from pipeline.training.processes import Several

CPU = torch.device("cpu")
PROCESSES = 2
STORE = "CELLDAG_BENCHMARK_STORE"  # the folder of the cells, which one process writes before there are two


class Case(NamedTuple):
    """A training: its objective, source of minibatches, and examples of an epoch."""

    objective: nn.Module
    batches: Any
    examples: int


def vae(batch_size: int) -> Callable[[float], Case]:
    """So many cells a minibatch, 2,000 genes of which a tenth is not zero, two layers of 512."""

    def case(share: float) -> Case:
        cells = int(10_240 * share)
        store = open_store(Path(os.environ[STORE]))
        train = store.read("train").select(np.arange(cells))
        config = VaeConfig(
            genes=train.genes, cell_types=len(store.categories["cell_type"]), batches=len(store.categories["batch"]),
            latent_intrinsic=32, latent_technical=8, hidden=[512, 512], decoder_hidden=[], decoder_link="softplus",
            covariate_embedding=8, covariate_dropout=0.1, normalised_total=1e4,
        )  # fmt: skip
        return Case(VaeObjective(Vae(config), 1.0, 10.0), ResidentCounts(train, batch_size, CPU, 0), cells)

    return case


def flow(share: float) -> Case:
    """256 pairs of 32 dimensions, two layers of 512."""
    cells, random = int(25_600 * share), np.random.default_rng(0)
    codes = {name: random.integers(0, 4, cells) for name in ("perturbation", "cell_type", "batch")}
    latent_ND = random.normal(size=(cells, 32)).astype(np.float32)
    encoded = EncodedCells(lambda rows: [f"cell {row}" for row in rows], latent_ND, **codes)
    doses_CP = torch.cat([torch.zeros(1, 3), torch.eye(3)])
    config = FlowConfig(
        dimensions=32, treatments=3, cell_types=4, batches=4, hidden=[512, 512], time_embedding=16,
        covariate_embedding=8, covariate_dropout=0.5, perturbation_embedding=16, basis=8,
    )  # fmt: skip
    pairing = Pairing("noise", "independent", 0, [f"type {code}" for code in range(4)])
    batches = LatentPairs(encoded, encoded, pairing, doses_CP, 256, CPU, 0)
    return Case(FlowObjective(FlowField(config), 0.1), batches, cells)


class Repeated:
    """One minibatch, so many times an epoch."""

    def __init__(self, batch: Any, times: int) -> None:
        self.batch, self.times = batch, times

    def __len__(self) -> int:
        return self.times

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:  # noqa: ARG002 - all are the same
        yield from [self.batch] * (self.times - start)

    def names(self, batch: Any) -> list[str]:
        return list(batch.names)


def diffusion(share: float) -> Case:
    """4 neighbourhoods of 512 cells and 512 genes, width 128, 4 layers: those of `benchmarks.spatial`."""
    step, times = Step(4, 512, dropout=0.1), max(1, int(10 * share))
    batch = NeighbourhoodBatch(*step.batch, names=["one"] * 4)
    return Case(step.objective, Repeated(batch, times), 4 * times)


def classifier(experts: int | None) -> Callable[[float], Case]:
    """64 images of 32 x 32 pixels, ResNet-18 of width 16, dense or with experts in its head."""

    def case(share: float) -> Case:
        images, random = int(1_280 * share), np.random.default_rng(0)
        pixels_NHWC = random.integers(0, 256, (images, 32, 32, 3)).astype(np.uint8)
        config = ResNetConfig(
            channels=3, classes=10, width=16, hidden=256, network="experts" if experts else "dense",
            experts=experts, top_k=2, gate="gumbel_top_k" if experts else "top_k",
        )  # fmt: skip
        model = ResNet18(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        objective = ClassifierObjective(model, shift=1, balance_weight=0.1)
        return Case(objective, ResidentImages(Images(pixels_NHWC, np.arange(images) % 10), 64, CPU, 0), images)

    return case


def forecaster(share: float) -> Case:
    """128 windows of 7 channels, lookback 336, horizon 96, 4 experts."""
    rows, random = int(5_120 * share) + 336 + 96 - 1, np.random.default_rng(0)
    value_CT = random.normal(size=(7, rows)).astype(np.float32)
    mark_TF = random.normal(size=(rows, len(FEATURES))).astype(np.float32)
    windows = Windows(value_CT, mark_TF, np.arange(rows) * 3600, 336, 96)
    config = MoleConfig(backbone="rmlp", lookback=336, horizon=96, channels=7, experts=4, head_dropout=0.2)
    return Case(ForecastObjective(Mole(config)), ResidentWindows(windows, 128, CPU, 0), len(windows))


CASES: dict[str, Callable[[float], Case]] = {
    "CFM-VC, VAE, 256 cells": vae(256),
    "CFM-VC, VAE, 1,024 cells": vae(1024),
    "CFM-VC, flow": flow,
    "AlphaSTomics": diffusion,
    "bayes-moe, dense": classifier(None),
    "bayes-moe, 8 experts": classifier(8),
    "MoLE": forecaster,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--only", choices=list(CASES), help="one training")
    parser.add_argument("--quick", action="store_true", help="few turns of a fifth of an epoch, to see that it runs")
    arguments = parser.parse_args()
    if "WORLD_SIZE" in os.environ:
        measure(arguments)
        return
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
    command = [*launch, "-m", "benchmarks.processes_training", *sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder) / "store", {"train": 10_240, "validation": 256, "test": 256})
        settings = environment() | {"OMP_NUM_THREADS": "1", STORE: f"{folder}/store"}
        ended = subprocess.run(command, env=settings, check=False)
    raise SystemExit(ended.returncode)


def measure(arguments: argparse.Namespace) -> None:
    """What both processes do; the first prints."""
    prepare_device("cpu", 1)
    together = Several(CPU)
    turns, share = (2, 0.2) if arguments.quick else (arguments.turns, 1.0)
    say(f"{describe_machine()}; {load()}; {PROCESSES} processes of one thread, medians of {turns} turns\n")
    say("| training | 1 process, examples/s | 2 processes | ratio | least | most | of CPU time |\n" + "|---" * 7 + "|")
    for name in [arguments.only] if arguments.only else CASES:
        torch.manual_seed(0)
        case = CASES[name](share)
        seconds: dict[int, list[tuple[float, float]]] = {1: [], PROCESSES: []}
        for turn in range(turns + 1):  # the first of each is not counted
            for count in (1, PROCESSES) if turn % 2 else (PROCESSES, 1):
                torch.distributed.barrier()
                if count > 1 or together.rank == 0:
                    seconds[count].append(epoch(case, count))
        torch.distributed.barrier()
        if together.rank == 0:
            pairs = list(zip(seconds[1][1:], seconds[PROCESSES][1:], strict=True))
            ratios, busy = ([one[clock] / two[clock] for one, two in pairs] for clock in range(2))
            one, two = (case.examples / statistics.median(s for s, _ in seconds[count][1:]) for count in (1, PROCESSES))
            numbers = [statistics.median(ratios), min(ratios), max(ratios), statistics.median(busy)]
            say(f"| {name} | {one:,.0f} | {two:,.0f} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |")
    torch.distributed.destroy_process_group()


def epoch(case: Case, count: int) -> tuple[float, float]:
    """Seconds of one, by `fit`, as one of so many processes: on the wall, and of this one's CPU time."""
    objective = deepcopy(case.objective)
    settings = Optimisation(
        learning_rate=1e-3, weight_decay=0.01, gradient_clip=1.0, batch_size=1, epochs=1, patience=1
    )
    before = dict(os.environ)
    os.environ["WORLD_SIZE"] = str(count)
    stdout, sys.stdout = sys.stdout, sys.stderr  # keeps the table apart from what `fit` says
    try:
        began, busy = time.perf_counter(), time.process_time()
        fit("benchmark", objective, case.batches, case.batches, settings, CPU)
        return time.perf_counter() - began, time.process_time() - busy
    finally:
        sys.stdout = stdout
        os.environ.update(before)


def say(text: str) -> None:
    if rank() == 0:
        print(text, flush=True)


if __name__ == "__main__":
    main()
