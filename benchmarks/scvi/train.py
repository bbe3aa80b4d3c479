"""Trains scvi-tools' SCVI for benchmarks/training.py, in the environment that setup.sh makes. Not imported by this
project.

    .venv/bin/python train.py counts.npz --batch-size 128 --epochs 8 --threads 2

counts.npz holds CSR counts and batch codes of `train` and `test` cells. Prints `ready`, waits for a line on standard
input and prints `epoch <seconds>`, for each epoch; then its parameters and its bound on the held-out likelihood.
"""

import argparse
import math
import sys
import time
import warnings

import anndata
import numpy as np
import scipy.sparse
import scvi
import torch
from lightning.pytorch.callbacks import Callback

warnings.filterwarnings("ignore")
scvi.settings.verbosity = 40


class Clock(Callback):
    def on_train_epoch_start(self, *_):
        print("ready", flush=True)
        sys.stdin.readline()
        self.began = time.perf_counter()

    def on_train_epoch_end(self, *_):
        print(f"epoch {time.perf_counter() - self.began:.4f}", flush=True)


def cells(file, split):
    parts = (file[f"{split}_{name}"] for name in ("counts", "indices", "indptr"))
    adata = anndata.AnnData(scipy.sparse.csr_matrix(tuple(parts)).astype(np.float32))
    adata.obs["batch"] = [f"donor {code}" for code in file[f"{split}_batch"]]
    return adata


@torch.no_grad()
def bound(model, adata, samples):
    """log p(x) >= E[log 1/S Σ p(x|z) p(z) / q(z|x)] in nats per cell (Burda et al., 2016), the library size given."""
    model.module.eval()
    adata = model._validate_anndata(adata)
    total = 0.0
    for tensors in model._make_data_loader(adata=adata, batch_size=500, shuffle=False):
        weights = []
        for _ in range(samples):
            inferred, generated, losses = model.module.forward(tensors)
            z, q, p = inferred["z"], inferred["qz"], generated["pz"]
            weights.append((p.log_prob(z) - q.log_prob(z)).sum(-1) - losses.dict_sum(losses.reconstruction_loss))
        total += (torch.logsumexp(torch.stack(weights), 0) - math.log(samples)).sum().item()
    return total / adata.n_obs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("counts")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--latent", type=int, default=40)
    parser.add_argument("--samples", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scvi.settings.seed = 0
    file = np.load(arguments.counts)
    train, test = cells(file, "train"), cells(file, "test")
    scvi.model.SCVI.setup_anndata(train, batch_key="batch")
    model = scvi.model.SCVI(
        train, n_hidden=arguments.hidden, n_layers=2, n_latent=arguments.latent, gene_likelihood="nb"
    )
    model.train(
        max_epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        train_size=1.0,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        callbacks=[Clock()],
        plan_kwargs={"n_epochs_kl_warmup": None},  # the plain ELBO from the start, as ours
    )
    weights = list(model.module.parameters())
    trained = sum(weight.numel() for weight in weights if weight.grad is not None)
    print(f"parameters {trained} {sum(weight.numel() for weight in weights)}", flush=True)
    print(f"bound {bound(model, test, arguments.samples):.3f}", flush=True)
    print(f"versions scvi-tools {scvi.__version__}, torch {torch.__version__}", flush=True)


if __name__ == "__main__":
    main()
