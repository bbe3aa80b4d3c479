"""Speed of reading a store back as shuffled, dense minibatches, and of reading it whole.

    python -m benchmarks.read_store --store /tmp/bench/1000000/data/processed/cfm_vc

Takes a store that benchmarks/preprocess.py has left. Prints a markdown table.
"""

import argparse
import resource
import time
from pathlib import Path

import torch

from benchmarks.processes import load
from benchmarks.stream_batches import stream
from pipeline.data.store import open_store


def peak_mib() -> float:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    store = open_store(arguments.store)
    entries = store.dataset["splits"]["train"]["nonzeros"] / store.cells("train")
    print(f"{load()}; {len(store.genes):,} genes, {entries:.0f} non-zeros per cell\n")
    print("| what | cells | time | cells/s | peak memory so far |")
    print("|---|---|---|---|---|", flush=True)
    for epoch in range(arguments.epochs):
        start = time.perf_counter()
        # The sum makes sure that every dense minibatch has been there.
        cells, counts = 0, 0.0
        for batch in stream(store, "train", arguments.batch_size, seed=0, epoch=epoch):
            cells += len(batch)
            counts += float(batch.counts_BG[:, 0].sum())
        seconds = time.perf_counter() - start
        title = f"shuffled minibatches of {arguments.batch_size}, epoch {epoch}"
        print(f"| {title} | {cells:,} | {seconds:.2f} s | {cells / seconds:,.0f} | {peak_mib():,.0f} MiB |", flush=True)
    start = time.perf_counter()
    cells = len(store.read("train"))
    seconds = time.perf_counter() - start
    print(f"| whole split, sparse | {cells:,} | {seconds:.2f} s | {cells / seconds:,.0f} | {peak_mib():,.0f} MiB |")


if __name__ == "__main__":
    main()
