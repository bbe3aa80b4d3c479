"""Speed of training and generation, compared with scvi-tools' SCVI and with bare matrix products.

    benchmarks/scvi/setup.sh                   # once: SCVI's own environment
    python -m benchmarks.training
    python -m benchmarks.training --profile    # where the time of an epoch of ours goes

10,000 generated cells, 2,000 genes, a tenth of the counts not zero. Ours is the stage `vae_pretrain` as it is, SCVI its
`train()` as it is, in a process each; they alternate epoch by epoch, so that other load on the machine affects both.
Both have two hidden layers of 512 in the encoder and two in the decoder, 40 latents, a negative binomial with one
dispersion per gene, the batch as their only covariate, AdamW or Adam at 1e-3 and the plain ELBO as the loss. The first
epoch of each is not counted. Prints markdown tables.
"""

import argparse
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.generate_cells import models, seconds_of_generation
from benchmarks.generated_store import STUDY, write_params, write_store
from benchmarks.processes import environment, load, measure
from benchmarks.timed_stage import PROFILED
from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.model.count_likelihood import log_likelihood_of_shares
from pipeline.cfm_vc.model.vae import Vae
from pipeline.data.store import open_store
from pipeline.nn.distributions import sample_gaussian
from pipeline.training.weights import load_model

ROOT = Path(__file__).resolve().parents[1]
SCVI = ROOT / "benchmarks" / "scvi"
CELLS, HIDDEN = 10_000, 512
CPU = torch.device("cpu")


class Turns:
    """A program that waits for its turn before each epoch, and prints its duration."""

    def __init__(self, command: list[str | Path], folder: Path) -> None:
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._command = command

    def epoch(self) -> float:
        """Let it train for one epoch; seconds."""
        assert self._process.stdin is not None
        self.expect("ready")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self.expect("epoch")[0])

    def expect(self, word: str) -> list[str]:
        """The rest of its next line that begins with this word."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return line.split()[1:]
        raise SystemExit(f"{' '.join(map(str, self._command))} ended without printing {word!r}")

    def end(self) -> None:
        """Wait until it has written its results."""
        self._process.communicate()
        if self._process.returncode:
            raise SystemExit(f"{' '.join(map(str, self._command))} failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without-scvi", action="store_true")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{load()}; {arguments.threads} threads, {arguments.epochs} epochs, Python {platform.python_version()}, ",
        end="",
    )
    print(f"torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.profile:
            profile_vae(folder / "vae", arguments)
            return
        compare_vae(folder / "vae", arguments)
        flow_and_generation(folder / "flow", arguments.threads)


def compare_vae(folder: Path, arguments: argparse.Namespace) -> None:
    """The table of VAE training."""
    write_store(folder / STUDY.store, {"train": CELLS, "validation": 500, "test": 2000}, typed=False)
    store = open_store(folder / STUDY.store)
    parts = {
        f"{split}_{part}": getattr(cells, part)
        for split in ("train", "test")
        for cells in [store.read(split)]
        for part in ("counts", "indices", "indptr", "batch")
    }
    np.savez(folder / "counts.npz", **parts)
    print("\n| batch | ours, cells/s | SCVI, cells/s | ratio | products alone, cells/s | ours / products ", end="")
    print("| ours, bound per cell | SCVI, bound per cell |\n" + "|---" * 8 + "|", flush=True)
    for batch_size in arguments.batch_sizes:
        write_vae_params(folder, batch_size, arguments.epochs, arguments.threads)
        ours = Turns([sys.executable, "-m", "benchmarks.timed_stage", "vae_pretrain", "--wait"], folder)
        theirs = None
        if not arguments.without_scvi:
            options = {"batch-size": batch_size, "epochs": arguments.epochs, "threads": arguments.threads}
            theirs = Turns(
                [SCVI / ".venv/bin/python", SCVI / "train.py", folder / "counts.npz"]
                + [part for option, value in options.items() for part in (f"--{option}", str(value))],
                folder,
            )
        seconds: dict[str, list[float]] = {"ours": [], "scvi": [], "products": []}
        for _ in range(arguments.epochs):
            seconds["ours"].append(ours.epoch())
            if theirs:
                seconds["scvi"].append(theirs.epoch())
            seconds["products"].append(seconds_of_products(batch_size))
        ours.end()
        model, _ = load_model(folder / STUDY.model / "vae", Vae)
        parameters = sum(weight.numel() for weight in model.parameters())
        speed = {name: CELLS / statistics.median(times[1:]) for name, times in seconds.items() if times}
        limit = speed["products"] * products_parameters() / parameters
        bounds = [f"{bound(model, folder):.2f}"]
        if theirs:
            trained, everything = theirs.expect("parameters")
            bounds.append(theirs.expect("bound")[0])
            versions = " ".join(theirs.expect("versions"))
            theirs.end()
        else:
            bounds.append("")
        scvi = f"{speed['scvi']:,.0f} | {speed['ours'] / speed['scvi']:.2f}" if theirs else " | "
        print(
            f"| {batch_size} | {speed['ours']:,.0f} | {scvi} | {limit:,.0f} | {speed['ours'] / limit:.2f} "
            f"| {' | '.join(bounds)} |",
            flush=True,
        )
    print(f"\nParameters: ours {parameters:,}", end="")
    if theirs:
        print(f"; SCVI {int(trained):,} that this likelihood trains, of {int(everything):,}; {versions}", end="")
    print(flush=True)


def profile_vae(folder: Path, arguments: argparse.Namespace) -> None:
    """The table of shares of an epoch's time, by kind of operation; the profiler itself takes time, too."""
    write_store(folder / STUDY.store, {"train": CELLS, "validation": 500}, typed=False)
    rows = {}
    for batch_size in arguments.batch_sizes:
        write_vae_params(folder, batch_size, PROFILED + 1, arguments.threads)
        command = [sys.executable, "-m", "benchmarks.timed_stage", "vae_pretrain", "--profile"]
        told = subprocess.run(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
        lines = [line.split() for line in told.stdout.splitlines() if line.startswith("profile ")]
        rows[batch_size] = {kind.replace("_", " "): float(seconds) for _, kind, seconds in lines}
    kinds = next(iter(rows.values()))
    print(f"\n| batch | {' | '.join(kinds)} |\n|---{'|---' * len(kinds)}|")
    for batch_size, seconds in rows.items():
        shares = [f"{taken / sum(seconds.values()):.0%}" for taken in seconds.values()]
        print(f"| {batch_size} | {' | '.join(shares)} |")


def write_vae_params(folder: Path, batch_size: int, epochs: int, threads: int) -> None:
    """Those of a network of SCVI's size."""
    layers = {"hidden": [HIDDEN, HIDDEN], "decoder_hidden": [HIDDEN, HIDDEN]}
    latents = {"latent_intrinsic": 32, "latent_technical": 8, "batch_weight": 0.0, "kl_weight": 1.0}
    training = {"learning_rate": 1e-3, "batch_size": batch_size, "epochs": epochs, "patience": epochs}
    write_params(folder, vae={**layers, **latents, **training, "threads": threads})


def shapes() -> list[tuple[int, int]]:
    """Inputs and outputs of the layers that hold nearly all the weights."""
    return [(2000, HIDDEN), (HIDDEN, HIDDEN), (40, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 2000)]


def products_parameters() -> int:
    return sum(inputs * outputs for inputs, outputs in shapes())


def seconds_of_products(batch_size: int, repeats: int = 30) -> float:
    """What the matrix products of an epoch would take: three for each layer, 6 FLOPs per weight and cell."""
    layers = [(torch.randn(batch_size, i), torch.randn(o, i), torch.randn(batch_size, o)) for i, o in shapes()]
    outs = [(torch.empty_like(g), torch.empty_like(w), torch.empty_like(x)) for x, w, g in layers]
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        for (x, weight, gradient), (y, by_weight, by_x) in zip(layers, outs, strict=True):
            torch.mm(x, weight.t(), out=y)
            torch.mm(gradient.t(), x, out=by_weight)
            torch.mm(gradient, weight, out=by_x)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * CELLS / batch_size


@torch.no_grad()
def bound(model: Vae, folder: Path, samples: int = 20) -> float:
    """log p(x) >= E[log 1/S Σ p(x|z) p(z) / q(z|x)] in nats per held-out cell (Burda et al., 2016), as SCVI's is."""
    cells = open_store(folder / STUDY.store).read("test")
    generator = torch.Generator().manual_seed(0)
    total = 0.0
    for batch in ResidentCounts(cells, 500, CPU).epoch(0):
        q = model.encode_normalised(model.normalised(batch), batch.cell_type_B, batch.batch_B)
        weights = []
        for _ in range(samples):
            int_BI = sample_gaussian(q.int_mean_BI, q.int_log_variance_BI, generator)
            tech_BT = sample_gaussian(q.tech_mean_BT, q.tech_log_variance_BT, generator)
            library_B = batch.library_B.clamp(min=1.0)
            logit_BG = model.logits(int_BI, tech_BT)
            weight_B = log_likelihood_of_shares(
                logit_BG, library_B, model.log_theta_G, batch.x_K, batch.cell_K, batch.gene_K
            )
            for z_BD, mean_BD, log_variance_BD, prior_BD in (
                (int_BI, q.int_mean_BI, q.int_log_variance_BI, torch.zeros_like(int_BI)),
                (tech_BT, q.tech_mean_BT, q.tech_log_variance_BT, q.tech_prior_BT),
            ):
                weight_B += log_normal(z_BD, prior_BD, torch.zeros_like(z_BD)) - log_normal(
                    z_BD, mean_BD, log_variance_BD
                )
            weights.append(weight_B)
        total += float((torch.logsumexp(torch.stack(weights), 0) - math.log(samples)).sum())
    return total / len(cells)


def log_normal(z_BD: Tensor, mean_BD: Tensor, log_variance_BD: Tensor) -> Tensor:
    """Logarithm of the density of a diagonal Gaussian, (B,)."""
    return torch.distributions.Normal(mean_BD, (0.5 * log_variance_BD).exp()).log_prob(z_BD).sum(1)


def flow_and_generation(folder: Path, threads: int) -> None:
    """The table of the rest, as params.yaml sets it but for threads, epochs and the flow's larger minibatches."""
    write_store(folder / STUDY.store, {"train": CELLS, "validation": 500, "test": 4096})
    flow = {"epochs": 8, "threads": threads, "batch_size": 1024}
    write_params(folder, vae={"epochs": 2, "threads": threads}, flow=flow)
    measure([sys.executable, "-m", "benchmarks.timed_stage", "vae_pretrain"], folder)
    stage = Turns([sys.executable, "-m", "benchmarks.timed_stage", "flow_train", "--wait"], folder)
    trained = CELLS / statistics.median([stage.epoch() for _ in range(8)][1:])
    stage.end()
    store = open_store(folder / STUDY.store)
    cells = store.read("test")
    vae, field = models(folder, store)
    times = [seconds_of_generation(vae, field, store, cells) for _ in range(6)]
    generated = len(cells) / statistics.median(times[1:])
    print("\n| what | cells/s | reach |\n|---|---|---|")
    print(f"| flow training on cached latents, pairs and all, batch 1,024 | {trained:,.0f} | >= 60,000 |")
    print(f"| generation: encoded, 20 Euler steps, decoded to 2,000 genes | {generated:,.0f} | >= 15,000 |")


if __name__ == "__main__":
    main()
