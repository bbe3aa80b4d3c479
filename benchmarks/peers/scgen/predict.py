"""scGen (Lotfollahi et al., 2019) as pertpy has it, for benchmarks/peers, in the environment that setup.sh makes. Not
imported by this project.

    scgen/.venv/bin/python -I scgen/predict.py FOLDER OUT --seed 0

FOLDER: what exported.py wrote. OUT: <i>.npy of each group asked for, predicted log-normalised expression (cells x
genes), and about.json. Settings are those of pertpy's tutorial of this very question: the network's defaults (two
layers of 800, 100 latents, dropout .2), minibatches of 32, at most 100 epochs, early stopping with a patience of 25.
"""

import argparse
import functools
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import anndata
import numpy as np
import pertpy
import scanpy
import scvi

warnings.filterwarnings("ignore")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    scvi.settings.seed = arguments.seed
    # `predict` balances cell types and draws cells by generators without a seed.
    np.random.default_rng = functools.partial(np.random.default_rng, arguments.seed)
    asked = json.loads((arguments.folder / "asked.json").read_text())
    cells, controls = (normalised(arguments.folder / f"{name}.h5ad", asked) for name in ("training", "controls"))
    pertpy.tl.Scgen.setup_anndata(cells, batch_key="perturbation", labels_key="cell_type")
    model = pertpy.tl.Scgen(cells)
    model.train(
        max_epochs=100,
        batch_size=32,
        early_stopping=True,
        early_stopping_patience=25,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    arguments.out.mkdir(parents=True)
    for number, group in enumerate(asked["groups"]):
        start = controls[(controls.obs["cell_type"] == group["cell_type"]).to_numpy()].copy()
        predicted, _ = model.predict(ctrl_key=asked["control"], stim_key=group["perturbation"], adata_to_predict=start)
        np.save(arguments.out / f"{number}.npy", np.asarray(predicted.X, np.float32), allow_pickle=False)
    about = {
        "versions": {name: version(name) for name in ("pertpy", "scvi-tools", "jax")},
        "trained": f"{len(model.history['elbo_validation'])} epochs",
    }
    (arguments.out / "about.json").write_text(json.dumps(about))


def normalised(file, asked):
    """Cells with dense log-normalised expression, of the library size that the evaluation uses."""
    cells = anndata.read_h5ad(file)
    scanpy.pp.normalize_total(cells, target_sum=asked["target"])
    scanpy.pp.log1p(cells)
    cells.X = cells.X.toarray()
    return cells


if __name__ == "__main__":
    main()
