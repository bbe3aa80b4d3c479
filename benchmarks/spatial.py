"""Speed and memory of AlphaSTomics: training steps, cost against the size of a neighbourhood, placing, experts.

    python -m benchmarks.spatial
    python -m benchmarks.spatial --only step,place --quick

`step`: forward and backward of the training objective on 4 neighbourhoods of 512 cells and 512 genes (width 128, 4
layers, 8 heads, 256 hidden units), compared with the bare matrix products, interleaved. `size`: of one neighbourhood of
128 to 16,384 cells, each in a process of its own. `place`: a section of 1,000 cells in 100 steps, by the network of
params.yaml. `many`: 100,000 cells from file to file by the command `sample`, one draw, 10 steps. `experts`: 8 choose 2
beside the dense feed-forward network of the same size, in the whole step, by turns. Prints markdown tables of medians;
ratios are paired turn by turn. `--quick`: few turns and small sizes, to see that it runs.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
import torch
import yaml
from scipy.sparse import csr_matrix
from torch import Tensor

from benchmarks.processes import environment, measure
from benchmarks.spatial_step import GENES, NETWORK, Step
from benchmarks.tables import print_tables
from pipeline.alphastomics.model.calibration import Calibration, place_features
from pipeline.alphastomics.model.network import SpatialConfig, SpatialDiffusion
from pipeline.alphastomics.model.objective import Noising
from pipeline.alphastomics.model.spatial_sampler import Given, Sampling, sample
from pipeline.alphastomics.model.tissue_inference import CALIBRATED_FOR
from pipeline.alphastomics.params.diffusion import Network
from pipeline.training.weights import save_model

ROOT = Path(__file__).resolve().parents[1]
NEIGHBOURHOODS, CELLS, SPACE = 4, 512, 2
SIZES = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
FEED_FORWARD = ((128, 256), (128, 512), (128, 1024), (256, 512), (256, 1024), (512, 2048))  # width, hidden units
MANY = 100_000
# A command and its peak memory according to Linux; that of `measure` starts at the memory of the parent.
MEASURED = """
import sys
from benchmarks.spatial_step import held
from pipeline.cli import main
try:
    main(sys.argv[1:])
finally:
    print(held("VmHWM"))
"""


class Product(NamedTuple):
    """`number` products of (m, k) by (k, n)."""

    number: int
    m: int
    k: int
    n: int


def step(arguments: argparse.Namespace) -> None:
    """Cells per second, beside what the machine's products of matrices would allow."""
    turns, cells = 3 if arguments.quick else 30, NEIGHBOURHOODS * CELLS
    print("| attention | step | cells/s | bare products, cells/s | GFLOP | share of their rate |\n" + "|---" * 6 + "|")
    for attention in ("softmax", "linear"):
        ours, products = Step(NEIGHBOURHOODS, CELLS, attention=attention), products_of_a_step(attention)
        bare = Bare(products)
        took = [(ours(), bare()) for _ in range(turns + 2)][2:]
        step_s, bare_s = (statistics.median(column) for column in zip(*took, strict=True))
        share = statistics.median(limit / mine for mine, limit in took)
        operations = 2e-9 * sum(product.number * product.m * product.k * product.n for product in products)
        print(
            f"| {attention} | {1e3 * step_s:.0f} ms | {cells / step_s:,.0f} | {cells / bare_s:,.0f} | {operations:.1f} "
            f"| {share:.2f} |",
            flush=True,
        )


def products_of_a_step(attention: str) -> list[Product]:
    """Those that hold nearly all multiply-adds, forward and backward: three for each matrix of weights (two where the
    input needs no gradient), and in attention what the formulas need, without what a kernel computes twice."""
    width, heads, layers, hidden = (NETWORK[name] for name in ("dimensions", "heads", "layers", "hidden"))
    cells, channels = NEIGHBOURHOODS * CELLS, width // heads
    found = [Product(1, cells, GENES, width), Product(1, width, cells, GENES)]
    invariants = 2 * heads * (2 + SPACE)
    for _ in range(layers):
        for inputs, outputs in ((width, 3 * width), (width + invariants, width), (width, hidden), (hidden, width)):
            found += trained(Product(1, cells, inputs, outputs))
        groups, gathered = NEIGHBOURHOODS * heads, channels + 2 * SPACE
        if attention == "softmax":  # queries by keys, then weights by values
            found += trained(Product(groups, CELLS, channels + SPACE + 2, CELLS))
            found += trained(Product(groups, CELLS, CELLS, gathered))
        else:  # keys by values, then queries by that
            features = channels + SPACE**2 + SPACE + 1
            found += trained(Product(groups, features, CELLS, gathered + 1))
            found += trained(Product(groups, CELLS, features, gathered + 1))
    return found + trained(Product(1, cells, width, GENES))


def trained(forward: Product) -> list[Product]:
    """A product, and those of the gradients of both factors."""
    number, m, k, n = forward
    return [forward, Product(number, m, n, k), Product(number, k, m, n)]


class Bare:
    """The products one by one, into memory that is there."""

    def __init__(self, products: list[Product]) -> None:
        self.operands: list[tuple[int, Tensor, Tensor, Tensor]] = [
            (number, torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)) for number, m, k, n in products
        ]

    def __call__(self) -> float:
        """Seconds of all of them."""
        began = time.perf_counter()
        for number, left, right, out in self.operands:
            for _ in range(number):
                torch.mm(left, right, out=out)
        return time.perf_counter() - began


def size(arguments: argparse.Namespace) -> None:
    """One forward and backward pass of one neighbourhood, and the slope of both costs over the largest sizes."""
    sizes = SIZES[:4] if arguments.quick else SIZES
    print("| attention | cells | seconds | cells/s | memory over an idle process |\n" + "|---" * 5 + "|")
    slopes = []
    for attention in ("softmax", "linear"):
        found = []
        for cells in sizes:
            turns = 1 if arguments.quick or cells > 4096 else 5
            options = ["--attention", attention, "--cells", str(cells), "--turns", str(turns)]
            seconds, mib = measured_step([*options, "--threads", str(arguments.threads)])
            found.append((cells, seconds, mib))
            print(f"| {attention} | {cells:,} | {seconds:.3f} | {cells / seconds:,.0f} | {mib:,.0f} MiB |", flush=True)
        (first, *before), (last, *after) = found[len(found) // 2 - 1], found[-1]
        time_slope, memory_slope = (
            math.log(b / a) / math.log(last / first) for a, b in zip(before, after, strict=True)
        )
        slopes.append(f"| {attention} | {first:,} to {last:,} | {time_slope:.2f} | {memory_slope:.2f} |")
    print("\n| attention | cells | slope of time, log-log | slope of memory |\n|---|---|---|---|\n" + "\n".join(slopes))


def measured_step(options: list[str]) -> tuple[float, float]:
    """Seconds and MiB of `benchmarks.spatial_step`."""
    command = [sys.executable, "-m", "benchmarks.spatial_step", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(), cwd=ROOT)
    seconds, mib = map(float, done.stdout.split())
    return seconds, mib


def network() -> Network:
    """That of params.yaml."""
    section = yaml.safe_load((ROOT / "params.yaml").read_text())["alphastomics"]["diffusion"]
    return Network(**{name: section[name] for name in Network.model_fields})


def untrained() -> SpatialDiffusion:
    """The network of params.yaml over 512 genes, 8 cell types and 4 sections."""
    torch.manual_seed(0)
    config = SpatialConfig.of(network(), genes=GENES, space=SPACE, cell_types=8, sections=4)
    return SpatialDiffusion(config).eval()


def calibration() -> dict[str, Any]:
    """Of places that are off by a random distance."""
    rng = np.random.default_rng(0)
    return Calibration.fit(place_features(rng.normal(size=(100, SPACE))), rng.random(100)).described()


def place(arguments: argparse.Namespace) -> None:
    """One draw of one section."""
    model, cells = untrained(), 1000
    given = Given(
        torch.randn(cells, GENES), torch.zeros(cells, SPACE), torch.full((cells,), 8, dtype=torch.int64), section=4
    )
    times = []
    for _ in range(2 if arguments.quick else 6):
        generator = torch.Generator().manual_seed(0)
        began = time.perf_counter()
        sample(model, Noising.of(1000, 1.0, 1.0, "x0"), given, Sampling("expr_to_pos", steps=100), generator)
        times.append(time.perf_counter() - began)
    print("| what | seconds | reach |\n|---|---|---|")
    seconds = statistics.median(times[1:])
    print(f"| placing one section of {cells:,} cells, 100 steps, {GENES} genes | {seconds:.2f} | <= 10 |")


def many(arguments: argparse.Namespace) -> None:
    """The command, from an .h5ad to an .h5ad."""
    cells = 5_000 if arguments.quick else MANY
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cells(folder / "cells.h5ad", cells)
        genes = [f"gene{gene}" for gene in range(GENES)]
        described = {
            "genes": genes,
            "categories": {"cell_type": [f"type{t}" for t in range(8)], "section": [f"section{s}" for s in range(4)]},
            "standard": {"target": 200.0, "mean": [0.3] * GENES, "deviation": [0.5] * GENES},
            "noising": {"steps": 1000, "expression_exponent": 1.0, "position_exponent": 1.0, "prediction": "x0"},
            "calibration": dict.fromkeys(CALIBRATED_FOR, calibration()),
            "neighbourhood": 256,
            "frames": {"section0": {"dimensions": SPACE, "centre": [0.0, 0.0], "scale": 300.0}},
            "provenance": {"dataset_sha256": "0" * 64, "parameters": {}},
        }
        save_model(folder / "model", untrained(), described)
        options = ["--mode", "expr_to_pos", "--num-samples", "1", "--steps", "10", "--threads", str(arguments.threads)]
        files = ["--data", "cells.h5ad", "--model", "model", "--out", "placed.h5ad"]
        seconds = measure([sys.executable, "-c", MEASURED, "sample", *options, *files], folder).seconds
        mib = float((folder / "output.txt").read_text().split()[-1])
        placed = anndata.read_h5ad(folder / "placed.h5ad").obsm["spatial"]
        assert placed.shape == (cells, SPACE)
        assert np.isfinite(placed).all()
    print("| what | seconds | peak memory | reach |\n|---|---|---|---|")
    what = f"placing {cells:,} cells of {GENES} genes, 10 steps"
    print(f"| {what} | {seconds:.0f} | {mib:,.0f} MiB | <= 90 s, 1,536 MiB |")


def write_cells(path: Path, cells: int) -> None:
    """About 100 genes of each cell have counts."""
    random = np.random.default_rng(0)
    gene_NK = np.sort(random.integers(0, GENES, (cells, 110)), axis=1)
    fresh_NK = np.diff(gene_NK, axis=1, prepend=-1) > 0
    indptr = np.concatenate([[0], fresh_NK.sum(1).cumsum()])
    counts = (random.poisson(1.0, fresh_NK.sum()) + 1).astype(np.float32)
    matrix = csr_matrix((counts, gene_NK[fresh_NK].astype(np.int32), indptr.astype(np.int32)), (cells, GENES))
    obs = pd.DataFrame(index=[f"cell{cell}" for cell in range(cells)])
    anndata.AnnData(matrix, obs, pd.DataFrame(index=[f"gene{gene}" for gene in range(GENES)])).write_h5ad(path)


def experts(arguments: argparse.Namespace) -> None:
    """The whole step with a mixture in every layer, and with a dense network of as many parameters."""
    turns = 3 if arguments.quick else 20
    print("| width | hidden units | dense, whole step | 8 choose 2 | dense / 8 choose 2 |\n" + "|---" * 5 + "|")
    for width, hidden in FEED_FORWARD[:3] if arguments.quick else FEED_FORWARD:
        shape = {"dimensions": width, "hidden": hidden}
        dense = Step(NEIGHBOURHOODS, CELLS, **shape)
        mixture = Step(NEIGHBOURHOODS, CELLS, **shape, ffn="moe", experts=8, top_k=2)
        took = [(dense(), mixture()) for _ in range(turns + 2)][2:]
        dense_s, mixture_s = (statistics.median(column) for column in zip(*took, strict=True))
        ratio = statistics.median(a / b for a, b in took)
        print(f"| {width} | {hidden:,} | {1e3 * dense_s:.0f} ms | {1e3 * mixture_s:.0f} ms | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    print_tables(__doc__, {"step": step, "size": size, "place": place, "many": many, "experts": experts})
