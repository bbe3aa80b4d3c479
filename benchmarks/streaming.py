"""Speed of minibatches streamed from the store, and of training on them, beside cells that are held in memory.

    python -m benchmarks.streaming [--only minibatches,training] [--quick]

200,000 generated cells, 2,000 genes, 71 non-zeros per cell, minibatches of 256. Both ways alternate epoch by epoch, so
that other load on the machine affects both; figures are medians, and the ratio is the median of those of each turn.
CPU time is that of all threads of the process: one for torch here, and the one that reads ahead. Training is the stage
`vae_pretrain` as it is, with the model of params.yaml, in a process for each way. Prints markdown tables.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.generated_store import SPARSE_DEPTH, STUDY, write_params, write_store
from benchmarks.tables import print_tables
from benchmarks.training import Turns
from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.data.streamed import StreamedCounts
from pipeline.data.store import open_store

CPU = torch.device("cpu")
CELLS, BATCH_SIZE = 200_000, 256


def minibatches(arguments: argparse.Namespace) -> None:
    """Cells per second of both sources, without anything that uses them."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        cells = made(Path(name), arguments.quick)
        store = open_store(Path(name) / STUDY.store)
        sources = {
            "streamed from the store": StreamedCounts(store, "train", BATCH_SIZE, CPU, 0),
            "held in memory": ResidentCounts(store.read("train"), BATCH_SIZE, CPU, 0),
        }
        ways: dict[str, Callable[[int], int]] = {
            name: lambda epoch, source=source: sum(len(batch) for batch in source.epoch(epoch))
            for name, source in sources.items()
        }
        ways["row groups alone, without names"] = lambda _: sum(map(len, store.blocks("train", named=False)))
        ways["row groups alone"] = lambda _: sum(map(len, store.blocks("train")))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for turn in range(3 if arguments.quick else 9):
            for name, read in ways.items():
                began, used = time.perf_counter(), time.process_time()
                assert read(turn) == cells
                found[name].append((time.perf_counter() - began, time.process_time() - used))
    print("| shuffled minibatches of 256 | cells/s, median | best | CPU time per cell | reach |\n|---|---|---|---|---|")
    for name, times in found.items():
        wall, cpu = ([time[place] for time in times[1:]] for place in (0, 1))
        reach = ">= 400,000" if name.startswith("streamed") else ""
        print(
            f"| {name} | {cells / statistics.median(wall):,.0f} | {cells / min(wall):,.0f} "
            f"| {statistics.median(cpu) / cells * 1e6:.2f} µs | {reach} |",
            flush=True,
        )


def training(arguments: argparse.Namespace) -> None:
    """Epochs of both ways by turns; the first of each is not counted."""
    epochs = 3 if arguments.quick else 6
    ways = {"streamed": 0, "resident": 100_000}
    with tempfile.TemporaryDirectory() as name:
        cells = 0
        stages = {}
        for way, limit in ways.items():
            folder = Path(name) / way
            cells = made(folder, arguments.quick)
            vae = {"batch_size": BATCH_SIZE, "epochs": epochs, "patience": epochs, "threads": arguments.threads}
            write_params(folder, vae=vae | {"resident_mb": limit})
            stages[way] = Turns([sys.executable, "-m", "benchmarks.timed_stage", "vae_pretrain", "--wait"], folder)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(epochs):
            for way in sorted(ways, reverse=bool(turn % 2)):
                seconds[way].append(stages[way].epoch())
        for stage in stages.values():
            stage.end()
    ratios = [r / s for s, r in zip(seconds["streamed"][1:], seconds["resident"][1:], strict=True)]
    speed = {way: cells / statistics.median(times[1:]) for way, times in seconds.items()}
    print("| VAE, cells/s | streamed | resident | ratio, median | least | most | reach |\n" + "|---" * 7 + "|")
    print(
        f"| batch {BATCH_SIZE}, {epochs - 1} turns | {speed['streamed']:,.0f} | {speed['resident']:,.0f} "
        f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} | >= 0.8 |",
        flush=True,
    )


def made(folder: Path, quick: bool) -> int:
    """Write the study, and say how many training cells it has."""
    cells = CELLS // 5 if quick else CELLS
    folder.mkdir(parents=True, exist_ok=True)
    write_store(folder / STUDY.store, {"train": cells, "validation": 500}, depth=SPARSE_DEPTH)
    return cells


if __name__ == "__main__":
    print_tables(__doc__, {"minibatches": minibatches, "training": training})
