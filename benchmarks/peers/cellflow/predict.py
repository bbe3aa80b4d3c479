"""CellFlow (Klein et al., 2025) for benchmarks/peers, in the environment that setup.sh makes. Not imported by this
project.

    cellflow/.venv/bin/python -I cellflow/predict.py FOLDER OUT --seed 0

FOLDER: what exported.py wrote. OUT: <i>.npy of each group asked for, predicted log-normalised expression (cells x
genes), <i>_change.npy, its mean change of expression (genes,), and about.json.

As its tutorials do it: 50 principal components of all training cells, the perturbation one-hot, a cell type as the mean
of its control cells in these components, matching by optimal transport within a cell type. A type without treated
cells has no part in the training of the flow. 2,000 steps of Adam at CellFlow's own rate. Two of its defaults are not
kept: every step is an update (it averages the gradients of 20 steps, over many more conditions than a study of a few
cell types has: 2,000 steps would be 100 updates), and layers and minibatches are an eighth of its sizes, which are for
millions of cells on a GPU: on a processor a step of these takes seconds. Options restore them: --accumulate 20 --width
2048 --batch-size 1024.
"""

import argparse
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import anndata
import cellflow
import numpy as np
import optax
import pandas as pd
import scanpy

warnings.filterwarnings("ignore")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--components", type=int, default=50)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument(
        "--width", type=int, default=256, help="of the layers of time and cells; the decoder's is twice"
    )
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--accumulate", type=int, default=1, help="steps whose gradients make one update")
    arguments = parser.parse_args()
    asked = json.loads((arguments.folder / "asked.json").read_text())
    cells, controls = (normalised(arguments.folder / f"{name}.h5ad", asked) for name in ("training", "controls"))
    cellflow.preprocessing.centered_pca(cells, n_comps=min(arguments.components, min(cells.shape) - 1))
    cellflow.preprocessing.project_pca(controls, ref_adata=cells)
    described = descriptions(cells)
    cells.uns |= described
    controls.uns |= described
    model = trained(cells, arguments)
    arguments.out.mkdir(parents=True)
    for number, group in enumerate(asked["groups"]):
        start = controls[(controls.obs["cell_type"] == group["cell_type"]).to_numpy()].copy()
        condition = pd.DataFrame({name: pd.Categorical([group[name]]) for name in ("perturbation", "cell_type")})
        condition["control"] = False
        (z_BK,) = model.predict(start, condition, sample_rep="X_pca").values()
        z_BK = np.asarray(z_BK)
        change_K = z_BK.mean(axis=0) - start.obsm["X_pca"].mean(axis=0)
        start.obsm["X_pca"] = z_BK
        cellflow.preprocessing.reconstruct_pca(start, ref_adata=cells)
        np.save(arguments.out / f"{number}.npy", start.layers["X_recon"].astype(np.float32), allow_pickle=False)
        np.save(arguments.out / f"{number}_change.npy", cells.varm["PCs"] @ change_K, allow_pickle=False)
    about = {
        "versions": {name: version(name) for name in ("cellflow-tools", "jax", "ott-jax")},
        "trained": f"{arguments.steps} steps",
    }
    (arguments.out / "about.json").write_text(json.dumps(about))


def normalised(file, asked):
    """Cells with dense log-normalised expression, of the library size that the evaluation uses."""
    cells = anndata.read_h5ad(file)
    scanpy.pp.normalize_total(cells, target_sum=asked["target"])
    scanpy.pp.log1p(cells)
    cells.X = cells.X.toarray()
    cells.obs["control"] = (cells.obs["perturbation"] == asked["control"]).to_numpy()
    return cells


def descriptions(cells):
    """Vectors of perturbations and cell types, by label."""
    treatments = sorted(set(cells.obs["perturbation"][~cells.obs["control"]]))
    places = {name: np.eye(len(treatments), dtype=np.float32)[code] for code, name in enumerate(treatments)}
    z_BK = cells.obsm["X_pca"]
    means = {
        name: z_BK[(cells.obs["control"] & (cells.obs["cell_type"] == name)).to_numpy()].mean(axis=0)
        for name in cells.obs["cell_type"].unique()
    }
    return {"perturbations": places, "cell_types": means}


def trained(cells, arguments):
    """The model, trained on the cell types that have treated cells."""
    types = set(cells.obs["cell_type"][~cells.obs["control"]])
    model = cellflow.model.CellFlow(cells[cells.obs["cell_type"].isin(types).to_numpy()].copy(), solver="otfm")
    model.prepare_data(
        sample_rep="X_pca",
        control_key="control",
        perturbation_covariates={"perturbations": ("perturbation",)},
        perturbation_covariate_reps={"perturbations": "perturbations"},
        sample_covariates=["cell_type"],
        sample_covariate_reps={"cell_type": "cell_types"},
        split_covariates=["cell_type"],
    )
    width = arguments.width
    optimizer = optax.adam(arguments.learning_rate)
    model.prepare_model(
        time_encoder_dims=(width,) * 3,
        hidden_dims=(width,) * 3,
        decoder_dims=(2 * width,) * 3,
        optimizer=optax.MultiSteps(optimizer, arguments.accumulate) if arguments.accumulate > 1 else optimizer,
        seed=arguments.seed,
    )
    model.train(num_iterations=arguments.steps, batch_size=arguments.batch_size, valid_freq=arguments.steps + 1)
    return model


if __name__ == "__main__":
    main()
