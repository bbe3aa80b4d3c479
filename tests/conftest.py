"""Data that tests of several parts share, and the order in which workers take the files."""

import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.made_once import made_once

# Files that take minutes come first, the longest at the head: at the end no worker waits for one that started late.
LONGEST = [
    "tests/test_readme.py",
    "tests/engines/test_engines.py",
    "tests/mole/test_golden.py",
    "tests/engines/test_several_files.py",
    "tests/cfm_vc/test_training_stages.py",
    "tests/tracking/test_servers.py",
    "tests/bayes_moe/test_moe_sweep.py",
    "tests/cfm_vc/test_learned_responses.py",
    "tests/tracking/test_track_errors.py",
    "tests/tracking/test_experiments.py",
    "tests/report/test_browser.py",
    "tests/engines/test_slurm.py",
    "tests/test_stage_processes.py",
    "tests/training/test_several.py",
    "tests/tracking/test_served_systems.py",
    "tests/test_contributing.py",
    "tests/test_package.py",
]

SOURCE = {  # source.json of simulated cells
    "schema_version": 1,
    "kind": "perturbation",
    "simulated": True,
    "description": "cells of a test",
    "input": "test.yaml",
    "input_sha256": "0" * 64,
    "control": "control",
    "notes": [],
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Among workers the longest files first; alone, in the order in which they were asked for."""
    if hasattr(config, "workerinput"):
        place = {name: number for number, name in enumerate(LONGEST)}
        items.sort(key=lambda item: place.get(item.location[0], len(place)))


@pytest.fixture
def perturbation_store(tmp_path: Path):
    """Makes a small store: 3 cell types x (control, drug, toxin), 2 batches; (T, drug) and (B, toxin) are held out.

    Under the drug the first 4 genes double and under the toxin the last 4 halve, in every cell type. `test_factor`
    multiplies every second gene's counts in the held-out cells.
    """
    from pipeline.data.cells import Cells, pointers
    from pipeline.data.store import open_store
    from pipeline.data.store_writer import StoreWriter

    categories = {"perturbation": ["control", "drug", "toxin"], "cell_type": ["B", "NK", "T"], "batch": ["a", "b"]}
    held_out = [("T", "drug"), ("B", "toxin")]

    def make(folder: Path = tmp_path / "store", cells_per_group: int = 40, genes: int = 12, test_factor: int = 1):
        random = np.random.default_rng(0)
        rate_TG = random.gamma(4, 1, (3, genes))
        folder.mkdir(parents=True)
        with StoreWriter(folder, [f"gene{g}" for g in range(genes)], categories, cells_per_shard=100) as writer:
            for cell_type in range(3):
                for perturbation in range(3):
                    rate_G = rate_TG[cell_type].copy()
                    if perturbation == 1:
                        rate_G[:4] *= 2
                    if perturbation == 2:
                        rate_G[-4:] /= 2
                    counts = random.poisson(rate_G * random.gamma(10, 0.1, (cells_per_group, 1))).astype(np.int32)
                    pair = (categories["cell_type"][cell_type], categories["perturbation"][perturbation])
                    if pair in held_out:
                        counts[:, ::2] *= test_factor
                    rows, indices = np.nonzero(counts)
                    names = [f"{cell_type}-{perturbation}-{row}" for row in range(cells_per_group)]
                    cells = Cells(
                        genes=genes,
                        names=np.array(names, dtype=object),
                        indptr=pointers(np.bincount(rows, minlength=cells_per_group)),
                        indices=indices.astype(np.int32),
                        counts=counts[rows, indices],
                        covariates={
                            "perturbation": np.full(cells_per_group, perturbation, np.int64),
                            "cell_type": np.full(cells_per_group, cell_type, np.int64),
                            "batch": np.arange(cells_per_group) % 2,
                        },
                        library_size=counts.sum(axis=1).astype(np.int64),
                    )
                    if pair in held_out:
                        writer.append("test", cells, cells.library_size)
                        continue
                    validation = cells_per_group // 4
                    train, rest = cells.select(slice(validation, None)), cells.select(slice(0, validation))
                    writer.append("train", train, train.library_size)
                    writer.append("validation", rest, rest.library_size)
            description = {
                "kind": "perturbation",
                "simulated": True,
                "description": "cells of a test",
                "input_sha256": "0" * 64,
                "control": "control",
                "held_out": [{"cell_type": c, "perturbation": p} for c, p in held_out],
                "notes": [],
            }
            writer.finish({"mean": np.zeros(genes)}, description)
        effects = {"drug": [np.log(2)] * 4 + [0.0] * (genes - 4), "toxin": [0.0] * (genes - 4) + [np.log(0.5)] * 4}
        truth = [
            (f"gene{g}", cell_type, perturbation, effect[g])
            for cell_type in categories["cell_type"]
            for perturbation, effect in effects.items()
            for g in range(genes)
        ]
        columns = ["gene", "cell_type", "perturbation", "log_fold_change"]
        pd.DataFrame(truth, columns=columns).to_parquet(folder / "truth.parquet")
        return open_store(folder)

    return make


@pytest.fixture
def simulated_store(tmp_path: Path):
    """Makes a small store by a recipe of tests/recipes, as ingest and preprocess make it: 3 cell types x 60 genes.

    `held_out`: pairs of cell type (type_0 to type_2) and perturbation label; `changes`: keys of the recipe set anew.
    The cells grow from made-up profiles, not from scanpy's, which take seconds to load. The truth is truth.parquet in
    the store's folder.
    """
    from pipeline.cfm_vc.data.recipe import read_recipe
    from pipeline.cfm_vc.data.simulation import Templates, simulate
    from pipeline.cfm_vc.params.preprocess import FoldPreprocess
    from pipeline.cfm_vc.stages import preprocess
    from pipeline.cfm_vc.stages.ingest import write_simulation
    from pipeline.core.files import write_json
    from pipeline.core.paths import StudyPaths
    from pipeline.data.store import open_store

    random = np.random.default_rng(0)
    types, genes, each = 3, 60, 50
    cell_type_N = np.repeat(np.arange(types), each)
    rate_TG = random.gamma(1.0, 6.0, (types, genes))
    templates = Templates(
        genes=[f"gene{g}" for g in range(genes)],
        cell_types=[f"type_{t}" for t in range(types)],
        counts_NG=random.poisson(rate_TG[cell_type_N] * random.gamma(10, 0.1, (len(cell_type_N), 1))),
        cell_type_N=cell_type_N,
    )

    def make(name: str, held_out: list[tuple[str, str]], folder: Path = tmp_path / "simulated", **changes):
        recipe = read_recipe(Path(__file__).parent / "recipes" / f"{name}.yaml")
        recipe = type(recipe).model_validate(recipe.model_dump() | changes)
        simulation = simulate(recipe, templates)
        raw = folder / "data/raw/cfm_vc/pbmc"
        raw.mkdir(parents=True)
        write_simulation(simulation, raw)
        write_json(raw / "source.json", SOURCE | {"combination": "+" if recipe.combinations else None})
        settings = FoldPreprocess(
            min_counts_per_cell=0,
            min_genes_per_cell=0,
            min_cells_per_gene=0,
            min_cells_per_group=2,
            highly_variable_genes=genes,
            held_out=[{"cell_type": c, "perturbation": p} for c, p in held_out],
            validation_share=0.1,
            seed=0,
            cells_per_shard=4096,
            cells_per_row_group=512,
        )
        with chdir(folder):
            preprocess.run(settings, StudyPaths("cfm_vc", "pbmc", "held_out", 0))
        return open_store(folder / "data/processed/cfm_vc/pbmc/held_out")

    return make


@pytest.fixture
def lab_adata():
    """An AnnData as a lab would bring it: 80 cells x 12 genes, counts in X, two donors crossed with the stimulation."""
    import anndata
    import pandas as pd
    from scipy.sparse import csr_matrix

    cells, genes = 80, 12
    counts = np.random.default_rng(0).poisson(1.5, (cells, genes))
    counts[:, 0] += 1  # no cell without a count
    number = np.arange(cells)
    obs = pd.DataFrame(
        {
            "condition": pd.Categorical(np.array(["ctrl", "stim"])[number % 2]),
            "cluster": pd.Categorical(np.array(["B", "T"])[number // 2 % 2]),
            "donor": pd.Categorical(np.array(["d1", "d2"])[number // 4 % 2]),
        },
        index=[f"cell{i}" for i in number],
    )
    var = pd.DataFrame(index=[f"gene{g}" for g in range(genes)])
    return anndata.AnnData(csr_matrix(counts.astype(np.float32)), obs, var)


@pytest.fixture
def tissue_adata():
    """Sections of tissue as a lab would bring them: 80 cells x 12 genes, 2 sections, places in obsm and in obs."""
    import anndata
    import pandas as pd
    from scipy.sparse import csr_matrix

    cells, genes = 80, 12
    random = np.random.default_rng(0)
    counts = random.poisson(1.5, (cells, genes))
    counts[:, 0] += 1  # no cell without a count
    number = np.arange(cells)
    places_NS = random.uniform(0, 1000, (cells, 3))
    obs = pd.DataFrame(
        {
            "slice": pd.Categorical(np.array(["left", "right"])[number // 40]),
            "cluster": pd.Categorical(np.array(["B", "T"])[number % 2]),
            "x": places_NS[:, 0],
            "y": places_NS[:, 1],
            "z": places_NS[:, 2],
        },
        index=[f"cell{i}" for i in number],
    )
    var = pd.DataFrame(index=[f"gene{g}" for g in range(genes)])
    adata = anndata.AnnData(csr_matrix(counts.astype(np.float32)), obs, var)
    adata.obsm["xy"] = places_NS[:, :2]
    return adata


@pytest.fixture
def saved_cfm_vc():
    """Saves a CFM-VC with random weights: 12 genes, cell types B, NK, T, batches a and b, drugs A (0.1 to 10) and B."""
    import torch

    from pipeline.cfm_vc.data.contexts import save_contexts
    from pipeline.core.files import sha256
    from pipeline.training.weights import save_model
    from tests.cfm_vc.small_models import small_contexts, small_field, small_vae

    def save(
        folder: Path, genes: int = 12, source: str = "control", dataset_sha256: str = "d" * 64, frame=None, size=1.0
    ) -> Path:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            vae = small_vae(genes=genes)
            field = small_field(spatial=frame["dimensions"] if frame else 0)
            for parameter in field.parameters():  # an untrained field stands still
                torch.nn.init.normal_(parameter, std=0.5)
        doses = {"control": {}, "A@0.1": {"A": 0.1}, "A@10": {"A": 10.0}, "B": {"B": 1.0}}
        shared = {
            "control": "control",
            "categories": {"perturbation": sorted(doses), "cell_type": ["B", "NK", "T"], "batch": ["a", "b"]},
        }
        origin = {"dataset_sha256": dataset_sha256, "parameters": {"seed": 0, "hidden": [8], "decoder_hidden": []}}
        save_model(folder / "vae", vae, {**shared, "genes": [f"gene{g}" for g in range(genes)], "provenance": origin})
        vae_sha256 = sha256(folder / "vae" / "weights.safetensors")
        save_model(
            folder / "flow",
            field,
            {
                **shared,
                "source": source,
                "doses": doses,
                "spatial": frame,
                "provenance": {**origin, "vae_sha256": vae_sha256},
            },
        )
        dimensions = frame["dimensions"] if frame else 0
        contexts = small_contexts(genes, shared["categories"], doses, size=size, spatial=dimensions)
        save_contexts(folder / "contexts", contexts)
        return folder

    return save


@pytest.fixture(scope="session")
def tissue_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with params.yaml, the embedded sections of tissue as ingest and preprocess make them, and a
    small network trained on them for two epochs. Not to be written to."""
    import yaml

    from pipeline.alphastomics.data.folds import folds
    from pipeline.alphastomics.stages import diffusion_train, ingest, preprocess
    from pipeline.core.paths import StudyPaths
    from tests.settled import settled

    root = Path(__file__).parents[1]
    content = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    content["alphastomics"]["studies"]["tissue"]["ingest"]["path"] = str(root / "data/embedded/tissue.yaml")
    content["alphastomics"]["diffusion"] |= {
        "epochs": 2, "neighbourhoods_per_epoch": 8, "neighbourhood": 128,
        "dimensions": 16, "layers": 2, "heads": 2, "hidden": 16,
    }  # fmt: skip

    def make(folder: Path) -> None:
        (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        study = settled(folder).alphastomics.studies["tissue"]
        at = StudyPaths("alphastomics", "tissue", "held_out", 0)
        ingest.run(study.ingest, at)
        preprocess.run(folds(study, at.key)["held_out"].preprocess, at)
        diffusion_train.run(study.diffusion, at)

    return made_once(tmp_path_factory, "tissue-project", make)


@pytest.fixture(scope="session")
def series_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with params.yaml and plan.yaml, 600 rows of the embedded series as ingest makes them, and
    small forecasters trained on them (models/mole/series): dlinear, rlinear and mixtures of 3 of each, L 24, H 6 and
    12, seeds 0 and 3; no ridge. Not to be written to."""
    import yaml

    from pipeline.core.paths import StudyPaths
    from pipeline.mole.data.ridge_choice import RIDGES
    from pipeline.mole.stages import ingest, mole_train, ridge
    from tests.settled import settled

    root = Path(__file__).parents[1]
    recipe = yaml.safe_load((root / "data/embedded/series.yaml").read_text(encoding="utf-8"))
    content = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    content["mole"]["studies"] = {
        "series": {"ingest": {"path": "series.yaml", "date": "date", "layout": None}, "seeds": [0, 3]}
    }
    small = {"start": "random", "lookback": 24, "horizons": [6, 12], "kernel": 5, "learning_rate": 0.01, "epochs": 4}
    content["mole"]["sweep"]["recipe"] |= small
    content["mole"]["sweep"]["points"] = {
        "dlinear": {"backbone": "dlinear"},
        "rlinear": {"backbone": "rlinear"},
        "mole_dlinear": {"backbone": "dlinear", "experts": 3},
        "mole_rlinear": {"backbone": "rlinear", "experts": 3, "top_k": 2},
    }

    def make(folder: Path) -> None:
        (folder / "series.yaml").write_text(yaml.safe_dump(recipe | {"rows": 600}, sort_keys=False), encoding="utf-8")
        (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        study = settled(folder).mole.studies["series"]
        at = StudyPaths("mole", "series")
        ingest.run(study.ingest, at)
        ridge.run(study.ridge, study.sweep, at)
        for name in study.sweep.points:
            mole_train.run(study.sweep, StudyPaths("mole", "series", point=name))
        for name in RIDGES:
            shutil.rmtree(at.models / name)

    return made_once(tmp_path_factory, "series-project", make)
