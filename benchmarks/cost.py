"""Time and memory against the number of cells: an epoch of the VAE, one of the flow, and generating as many cells.

    python -m benchmarks.cost [--cells 10000 100000 1000000]

2,000 genes, a tenth of the counts not zero. The two stages and a program that generates run one after the other, each a
process of its own: memory is the largest resident set of the whole process, reading the store and the losses of
all cells at the end included. Settings are those of params.yaml, with minibatches of 1,024 and two threads. Prints a
markdown table and draws benchmarks/cost.svg. A million cells take about eight minutes and 0.5 GB of disk.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.generated_store import write_params
from benchmarks.processes import load, measure

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "benchmarks" / "cost.svg"
TRAINING = {"epochs": 1, "batch_size": 1024, "threads": 2}
PROGRAMS = {
    "VAE, one epoch": ["-m", "benchmarks.timed_stage", "vae_pretrain"],
    "flow, one epoch": ["-m", "benchmarks.timed_stage", "flow_train"],
    "generation, 20 Euler steps": ["-m", "benchmarks.generate_cells"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where stores are kept; else in a temporary folder")
    arguments = parser.parse_args()
    print(
        f"{load()}\n\n| what | cells | seconds | cells/s | peak memory of the process |\n|---|---|---|---|---|",
        flush=True,
    )
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as temporary:
        for cells in arguments.cells:
            folder = (arguments.folder or Path(temporary)).resolve() / str(cells)
            prepare(folder, cells)
            for name, command in PROGRAMS.items():
                measured = measure([sys.executable, *command], folder)
                lines = (folder / "output.txt").read_text().splitlines()
                took = sum(float(line.split()[1]) for line in lines if line.startswith(("epoch ", "seconds ")))
                seconds[name].append(took)
                print(
                    f"| {name} | {cells:,} | {took:.2f} | {cells / took:,.0f} | {measured.peak_mib:,.0f} MiB |",
                    flush=True,
                )
    if len(arguments.cells) > 1:
        draw(arguments.cells, seconds)


def prepare(folder: Path, cells: int) -> None:
    """A store of so many training cells, made in a process of its own, since a large parent shows in its children."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data").exists():
        code = (
            "from benchmarks.generated_store import STUDY, write_store; "
            f"write_store(STUDY.store, {{'train': {cells}, 'validation': 500}})"
        )
        measure([sys.executable, "-c", code], folder)
    write_params(folder, vae=TRAINING, flow=TRAINING)


def draw(cells: list[int], seconds: dict[str, list[float]]) -> None:
    """Seconds against cells, both in logarithms; dotted through each last point: cost proportional to cells."""
    mpl.rcParams["svg.hashsalt"] = "cost"
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, times in seconds.items():
        (line,) = axes.loglog(cells, times, "o-", label=name)
        axes.loglog(cells, [times[-1] * n / cells[-1] for n in cells], ":", color=line.get_color(), linewidth=1)
    axes.set(xlabel="cells", ylabel="seconds", title="Cost against cells; dotted: proportional")
    axes.legend(frameon=False)
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
