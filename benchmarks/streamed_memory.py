"""Memory of training and of generation against time, for stores of 10^5, 10^6 and 10^7 cells that are streamed.

    python -m benchmarks.streamed_memory --folder /tmp/bench [--cells 100000 1000000 10000000] [--most 4000]

The stage `vae_pretrain` as it is, with the model of params.yaml, minibatches of 256, one epoch, one thread; 2,000
genes, 71 non-zeros per cell. A store of more than a million cells is one of a million whose shards have several names
(hard links), so that 10^7 cells take 0.2 GB of disk. --most: an epoch ends after so many minibatches, and so do the
losses at the end, since 10^7 cells take more than the time at hand; what is read before (library sizes and the marginal
model) is all of the cells. Then every training cell is carried along a flow (untrained, which costs the same) and
decoded to every gene. Memory is the resident set of the process, read five times a second. Prints two markdown tables
and draws benchmarks/streamed_memory.svg.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.generated_store import SPARSE_DEPTH, STUDY, write_params
from benchmarks.processes import environment, load, measure
from pipeline.data.store import DATASET

PICTURE = Path(__file__).resolve().parent / "streamed_memory.svg"
LINKED = 1_000_000  # cells of the store whose shards are linked
VAE = {"epochs": 1, "batch_size": 256, "threads": 1, "resident_mb": 0}
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20

Curve = list[tuple[float, float]]  # seconds since the start, MiB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the stores are kept")
    parser.add_argument("--cells", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--most", type=int, help="minibatches of an epoch")
    arguments = parser.parse_args()
    print(f"{load()}\n\n| cells | of which trained on | stage, s | epoch, cells/s | a whole epoch ", end="")
    print("| median memory in training | peak |\n" + "|---" * 7 + "|", flush=True)
    curves: dict[str, dict[int, Curve]] = {"vae_pretrain": {}, "generation": {}}
    most = ["--most", f"{arguments.most}"] if arguments.most else []
    for cells in arguments.cells:
        folder = arguments.folder.resolve() / str(cells)
        prepare(folder, cells)
        write_params(folder, vae=VAE)
        curve, output = watched(folder, ["-m", "benchmarks.timed_stage", "vae_pretrain", *most])
        curves["vae_pretrain"][cells] = curve
        began = next(at for at, line in output if line.startswith("vae: "))  # the source is chosen
        ended, line = next((at, line) for at, line in output if line.startswith("epoch "))
        seconds, trained = float(line.split()[1]), int(line.split()[2])
        inside = sorted(mib for at, mib in curve if max(began, ended - seconds) <= at <= ended)
        whole = f"{cells * seconds / trained / 60:.1f} min{'' if trained == cells else ', extrapolated'}"
        print(
            f"| {cells:,} | {trained:,} | {curve[-1][0]:.0f} | {trained / seconds:,.0f} | {whole} "
            f"| {inside[len(inside) // 2]:,.0f} MiB | {max(mib for _, mib in curve):,.0f} MiB |",
            flush=True,
        )
    print("\n| cells | generation, s | cells/s | median memory | peak |\n" + "|---" * 5 + "|", flush=True)
    for cells in arguments.cells:
        curve, output = watched(arguments.folder.resolve() / str(cells), ["-m", "benchmarks.generate_cells", "1"])
        curves["generation"][cells] = curve
        seconds = float(output[-1][1].split()[1])
        memory = sorted(mib for _, mib in curve)
        print(
            f"| {cells:,} | {seconds:.0f} | {cells / seconds:,.0f} | {memory[len(memory) // 2]:,.0f} MiB "
            f"| {memory[-1]:,.0f} MiB |",
            flush=True,
        )
    draw(curves)


def prepare(folder: Path, cells: int) -> None:
    """The study of so many training cells, made in a process of its own or linked."""
    store = folder / STUDY.store
    if (store / DATASET).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if cells <= LINKED:
        sizes = {"train": cells, "validation": 10_000}
        code = (
            "from benchmarks.generated_store import STUDY, write_store; "
            f"write_store(STUDY.store, {sizes}, depth={SPARSE_DEPTH})"
        )
        measure([sys.executable, "-c", code], folder)
        return
    times, rest = divmod(cells, LINKED)
    if rest:
        raise SystemExit(f"{cells:,} cells: expected a multiple of {LINKED:,}")
    one = folder.parent / str(LINKED)
    prepare(one, LINKED)
    link(one / STUDY.store, store, times)


def link(one: Path, store: Path, times: int) -> None:
    """A store whose training split is that of `one` so many times, under other names."""
    dataset: dict[str, Any] = json.loads((one / DATASET).read_text())
    train = dataset["splits"]["train"]
    shards = [
        {**shard, "file": f"train/part-{number * len(train['shards']) + place:05d}.parquet", "of": shard["file"]}
        for number in range(times)
        for place, shard in enumerate(train["shards"])
    ]
    for folder in ("train", "validation", "test"):
        (store / folder).mkdir(parents=True)
    for shard in shards:
        os.link(one / shard.pop("of"), store / shard["file"])
    for file in ["genes.parquet", *(shard["file"] for shard in dataset["splits"]["validation"]["shards"])]:
        os.link(one / file, store / file)
    train |= {"cells": times * train["cells"], "nonzeros": times * train["nonzeros"], "shards": shards}
    (store / DATASET).write_text(json.dumps(dataset))


def watched(folder: Path, arguments: list[str]) -> tuple[Curve, list[tuple[float, str]]]:
    """Run Python with these arguments: its memory over time, and its lines with the seconds at which they came."""
    command = [sys.executable, *arguments]
    curve: Curve = []
    lines: list[tuple[float, str]] = []
    log = folder / "output.txt"
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment())
        while process.poll() is None:
            now = time.perf_counter() - began
            pages = Path(f"/proc/{process.pid}/statm").read_text().split()
            if len(pages) > 1 and int(pages[1]):
                curve.append((now, int(pages[1]) * PAGE_MIB))
            lines += [(now, line) for line in log.read_text().splitlines()[len(lines) :]]
            time.sleep(0.2)
    lines += [(time.perf_counter() - began, line) for line in log.read_text().splitlines()[len(lines) :]]
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()}")
    return curve, lines


def draw(curves: dict[str, dict[int, Curve]]) -> None:
    """Memory against time, a picture per program; each curve ends with its program."""
    mpl.rcParams["svg.hashsalt"] = "streamed memory"
    figure, pair = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axes, (program, of_cells) in zip(pair, curves.items(), strict=True):
        for cells, curve in of_cells.items():
            axes.plot(*zip(*curve, strict=True), label=f"{cells:,} cells", linewidth=1)
        axes.set(xlabel="seconds", title=program)
        axes.set_ylim(bottom=0)
    pair[0].set(ylabel="resident set, MiB")
    pair[0].legend(frameon=False, loc="lower right")
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
