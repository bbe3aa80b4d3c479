"""The stage `preprocess`, held against the same computation done in memory."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from pipeline.cfm_vc.params.preprocess import FoldPreprocess
from pipeline.cfm_vc.stages import preprocess as stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256, write_json
from pipeline.core.paths import StudyPaths
from pipeline.data.columns import Column
from pipeline.data.standard_h5ad import standard_h5ad_file
from pipeline.data.store import SPLITS, Store, open_store

CELL_TYPES = ["B", "NK", "T"]
PERTURBATIONS = ["control", "drug", "heat"]
BATCHES = ["a", "b"]
CELLS, GENES = 1400, 120
AT = StudyPaths("cfm_vc", "pbmc", "held_out", 0)
STORE = Path("data/processed/cfm_vc/pbmc/held_out")
PROJECT = Path(__file__).resolve().parents[2]


def settings(**changed: Any) -> FoldPreprocess:
    values = {
        "min_counts_per_cell": 20,
        "min_genes_per_cell": 12,
        "min_cells_per_gene": 10,
        "min_cells_per_group": 5,
        "highly_variable_genes": 60,
        "held_out": [{"cell_type": "T", "perturbation": "drug"}],
        "validation_share": 0.2,
        "seed": 0,
        "cells_per_shard": 256,
        "cells_per_row_group": 64,
    }
    return FoldPreprocess.model_validate(values | changed)


def counts() -> np.ndarray:
    rng = np.random.default_rng(0)
    mean_G = rng.lognormal(-1.5, 1.4, GENES)
    depth_N = rng.lognormal(0, 0.5, CELLS)
    x_NG = rng.poisson(depth_N[:, None] * mean_G * rng.gamma(1.0, 1.0, (CELLS, GENES)))
    x_NG[:3] = 0  # empty cells
    x_NG[:, 5] = 0  # a gene that is never seen
    return x_NG


def codes() -> dict[str, np.ndarray]:
    cell = np.arange(CELLS)  # sorted by perturbation, as many files are
    return {"perturbation": cell * 3 // CELLS, "cell_type": cell % 3, "batch": cell % 2}


def write_raw(
    x_NG: np.ndarray,
    codes: dict[str, np.ndarray],
    doses: dict[str, dict[str, float]] | None = None,
    spatial: np.ndarray | None = None,
    **source: Any,
) -> None:
    """data/raw/cfm_vc/pbmc as ingest leaves it, in the working directory."""
    folder = Path("data/raw/cfm_vc/pbmc")
    folder.mkdir(parents=True, exist_ok=True)
    matrix = scipy.sparse.csr_matrix(x_NG)
    labels = {"perturbation": PERTURBATIONS, "cell_type": CELL_TYPES, "batch": BATCHES}
    columns = {name: Column(codes[name].astype(np.int32), labels[name], []) for name in labels}
    with standard_h5ad_file(folder / "cells.h5ad", [f"gene {g}" for g in range(x_NG.shape[1])]) as writer:
        writer.append(matrix.indptr.astype(np.int64), matrix.indices, matrix.data.astype(np.int32))
        writer.finish([[f"cell {n}" for n in range(len(x_NG))]], columns, doses, spatial)
    described = {
        "schema_version": 1,
        "kind": "perturbation",
        "simulated": False,
        "description": "Cells of a test",
        "input": "test.h5ad",
        "input_sha256": "abc",
        "control": "control",
        "notes": ["a note of ingest"],
    }
    write_json(folder / "source.json", described | source)


@pytest.fixture
def _raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_raw(counts(), codes())


def as_table(store: Store) -> pd.DataFrame:
    """Every cell of the store, by name: its split, covariates and counts of each gene."""
    parts = []
    for split in SPLITS:
        cells = store.read(split)
        part = pd.DataFrame(cells.dense(slice(None)), columns=store.genes, index=cells.names)
        for name, categories in store.categories.items():
            part[name] = np.array(categories, object)[getattr(cells, name)]
        part["library_size"] = cells.library_size
        part["split"] = split
        parts.append(part)
    return pd.concat(parts)


def expected_genes(x_NG: np.ndarray, kept_N: np.ndarray, learned_N: np.ndarray) -> pd.DataFrame:
    """What scanpy selects: cells filtered first, then genes; ranked on the cells that are not held out."""
    import anndata
    import scanpy

    passing_G = (x_NG[kept_N] > 0).sum(axis=0) >= 10
    adata = anndata.AnnData(scipy.sparse.csr_matrix(x_NG[kept_N & learned_N][:, passing_G].astype(np.int32)))
    adata.var_names = [f"gene {g}" for g in np.flatnonzero(passing_G)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=60)
    return adata.var[adata.var["highly_variable"]]


@pytest.mark.usefixtures("_raw")
@pytest.mark.parametrize(("workers", "cells_per_piece"), [(1, CELLS), (1, 300), (2, 300)])
def test_the_store_holds_what_filtering_in_memory_leaves(
    workers: int, cells_per_piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.data.pieces.CELLS_PER_PIECE", cells_per_piece)
    monkeypatch.setattr("pipeline.data.shuffle.CELLS_PER_RUN", 32)
    stage.run(settings(workers=workers), AT)
    x_NG, label = counts(), codes()
    kept_N = (x_NG.sum(axis=1) >= 20) & ((x_NG > 0).sum(axis=1) >= 12)
    held_out_N = (label["cell_type"] == 2) & (label["perturbation"] == 1)
    assert 0.5 < kept_N.mean() < 0.99, "the data must exercise the filter"
    genes = expected_genes(x_NG, kept_N, ~held_out_N)

    store = open_store(STORE)
    assert store.genes == genes.index.tolist()
    statistics = pd.read_parquet(STORE / "genes.parquet")
    for ours, scanpys in (("mean", "means"), ("variance", "variances"), ("variance_standardised", "variances_norm")):
        np.testing.assert_allclose(statistics[ours], genes[scanpys], rtol=1e-9)

    table = as_table(store)
    assert sorted(table.index) == sorted(f"cell {n}" for n in np.flatnonzero(kept_N))
    place = table.index.str.removeprefix("cell ").astype(int).to_numpy()
    columns = [int(gene.removeprefix("gene ")) for gene in store.genes]
    np.testing.assert_array_equal(table[store.genes].to_numpy(), x_NG[place][:, columns])
    np.testing.assert_array_equal(table["library_size"], x_NG[place][:, columns].sum(axis=1))
    for name, labels in (("perturbation", PERTURBATIONS), ("cell_type", CELL_TYPES), ("batch", BATCHES)):
        assert table[name].tolist() == [labels[code] for code in label[name][place]]
    assert ((table["split"] == "test") == held_out_N[place]).all()
    shard = pd.read_parquet(STORE / "train/part-00000.parquet")
    of_shard = shard["cell"].str.removeprefix("cell ").astype(int)
    np.testing.assert_array_equal(shard["total_counts"], x_NG[of_shard].sum(axis=1))


@pytest.mark.usefixtures("_raw")
def test_the_descriptions_say_what_happened() -> None:
    stage.run(settings(), AT)
    x_NG = counts()
    kept_N = (x_NG.sum(axis=1) >= 20) & ((x_NG > 0).sum(axis=1) >= 12)
    dataset = json.loads((STORE / "dataset.json").read_text())
    assert dataset["filtered"] == {
        "cells_before": CELLS,
        "cells_after": int(kept_N.sum()),
        "empty_cells": 3,
        "genes_before": GENES,
        "genes_after_filter": int(((x_NG[kept_N] > 0).sum(axis=0) >= 10).sum()),
        "genes": 60,
    }
    assert dataset["held_out"] == [{"cell_type": "T", "perturbation": "drug"}]
    assert dataset["categories"] == {"perturbation": PERTURBATIONS, "cell_type": CELL_TYPES, "batch": BATCHES}
    assert dataset["notes"] == ["a note of ingest"]
    assert (dataset["control"], dataset["input_sha256"], dataset["simulated"]) == ("control", "abc", False)
    assert sum(split["cells"] for split in dataset["splits"].values()) == kept_N.sum()

    quality = json.loads(Path("reports/cfm_vc/pbmc/quality/held_out.json").read_text())
    assert sum(quality["histograms"]["counts_per_cell"]["before"]) == CELLS - 3
    assert sum(quality["histograms"]["counts_per_cell"]["after"]) == kept_N.sum()
    assert quality["filtered"] == dataset["filtered"]
    assert quality["thresholds"]["min_genes_per_cell"] == 12
    groups = {(group["cell_type"], group["perturbation"]): group for group in quality["groups"]}
    label = codes()
    drug_T = (label["cell_type"] == 2) & (label["perturbation"] == 1)
    expected = {"before": int(drug_T.sum()), "after": int((drug_T & kept_N).sum()), "split": "test"}
    assert {key: groups["T", "drug"][key] for key in expected} == expected
    assert [key for key, group in groups.items() if group["split"] == "test"] == [("T", "drug")]


@pytest.mark.usefixtures("_raw")
def test_without_held_out_pairs_there_is_no_test_set(capsys: pytest.CaptureFixture[str]) -> None:
    stage.run(settings(held_out=[]), AT)
    store = open_store(STORE)
    assert store.dataset["held_out"] == []
    assert (store.cells("test"), store.row_groups("test"), len(store.read("test"))) == (0, [], 0)
    assert store.cells("train") + store.cells("validation") == store.dataset["filtered"]["cells_after"]
    cells = {split: f"{store.cells(split):,}" for split in ("train", "validation")}
    line = f"splits: train {cells['train']}, validation {cells['validation']}, test 0, as nothing is held out"
    assert line in capsys.readouterr().out
    quality = json.loads(Path("reports/cfm_vc/pbmc/quality/held_out.json").read_text())
    assert {group["split"] for group in quality["groups"]} == {"train"}
    shutil.rmtree(STORE / "test")  # DVC restores no empty folder
    assert len(open_store(STORE).read("test")) == 0


def test_a_screen_in_one_cell_type_needs_an_empty_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_raw(counts(), codes() | {"cell_type": np.full(CELLS, 1), "batch": np.zeros(CELLS)})
    with pytest.raises(ExpectedError, match=r"one cell type, 'NK'.*set held_out of the study to \[\]"):
        stage.run(settings(held_out=[{"cell_type": "NK", "perturbation": "drug"}]), AT)
    stage.run(settings(held_out=[]), AT)
    categories = open_store(STORE).categories
    assert categories == {"perturbation": PERTURBATIONS, "cell_type": ["NK"], "batch": ["a"]}


def test_every_cell_keeps_its_place_in_the_frame_of_the_training_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places_NS = np.random.default_rng(3).normal((7000.0, -300.0, 5.0), (50.0, 20.0, 1.0), (CELLS, 3))
    places_NS[2::3] += 1e4  # cell type T, whose held-out cells must not move the centre
    write_raw(counts(), codes(), spatial=places_NS)
    stage.run(settings(), AT)
    store = open_store(STORE)
    parts = {split: store.read(split) for split in SPLITS}
    number = {split: [int(name.removeprefix("cell ")) for name in cells.names] for split, cells in parts.items()}
    training_NS = places_NS[number["train"]]
    centre_S = training_NS.mean(axis=0)
    scale = np.sqrt(((training_NS - centre_S) ** 2).sum(axis=1).mean())
    described = store.dataset["spatial"]
    assert described["dimensions"] == 3
    np.testing.assert_allclose([*described["centre"], described["scale"]], [*centre_S, scale], rtol=1e-12)
    for split, cells in parts.items():
        expected_NS = (places_NS[number[split]] - centre_S) / scale
        np.testing.assert_allclose(cells.spatial, expected_NS, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("_raw")
def test_places_change_nothing_else() -> None:
    stage.run(settings(), AT)
    without = as_table(open_store(STORE))
    places_NS = np.random.default_rng(3).normal(size=(CELLS, 2))
    write_raw(counts(), codes(), spatial=places_NS)
    stage.run(settings(), AT)
    pd.testing.assert_frame_equal(as_table(open_store(STORE)), without)


@pytest.mark.usefixtures("_raw")
def test_what_the_input_does_not_have_is_not_in_the_description() -> None:
    stage.run(settings(), AT)
    assert not {"doses", "combination", "spatial"} & set(open_store(STORE).dataset)


@pytest.mark.usefixtures("_raw")
def test_doses_reach_the_store_and_let_a_dose_be_held_out_everywhere() -> None:
    doses = {"control": {}, "drug": {"A": 1.0}, "heat": {"A": 10.0}}
    everywhere = [{"cell_type": cell_type, "perturbation": "heat"} for cell_type in CELL_TYPES]
    with pytest.raises(ExpectedError, match="no training group contains 'heat'"):
        stage.run(settings(held_out=everywhere), AT)
    write_raw(counts(), codes(), doses=doses, combination="+")
    stage.run(settings(held_out=everywhere), AT)
    store = open_store(STORE)
    assert store.doses.of_label == store.dataset["doses"] == doses
    assert store.dataset["combination"] == "+"


@pytest.mark.usefixtures("_raw")
def test_row_groups_are_mixed_although_the_file_is_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.shuffle.CELLS_PER_RUN", 32)
    stage.run(settings(), AT)
    store = open_store(STORE)
    for row_group in store.row_groups("train"):
        shares = np.bincount(store.read_row_group(row_group).perturbation, minlength=3) / row_group.cells
        if row_group.cells == 64:
            assert shares.max() < 0.7, "sorted, almost every row group would hold one perturbation only"


def shards() -> dict[str, str]:
    return {
        str(path): sha256(path) for path in sorted([*STORE.rglob("*"), *Path("reports").rglob("*")]) if path.is_file()
    }


@pytest.mark.usefixtures("_raw")
def test_same_input_and_parameters_give_the_same_bytes() -> None:
    stage.run(settings(), AT)
    first = shards()
    shutil.rmtree(STORE)
    stage.run(settings(), AT)
    assert shards() == first
    stage.run(settings(seed=1), AT)
    assert shards().keys() == first.keys()
    assert shards() != first


@pytest.mark.usefixtures("_raw")
def test_blocks_do_not_show_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run(settings(), AT)
    genes = pd.read_parquet(STORE / "genes.parquet")
    monkeypatch.setattr("pipeline.data.piece_tasks.ENTRIES_PER_BLOCK", 1)
    stage.run(settings(), AT)
    pd.testing.assert_frame_equal(pd.read_parquet(STORE / "genes.parquet"), genes, rtol=1e-12)


@pytest.mark.usefixtures("_raw")
@pytest.mark.parametrize("cells_per_piece", [CELLS, 300])
def test_held_out_cells_do_not_choose_the_genes(cells_per_piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.pieces.CELLS_PER_PIECE", cells_per_piece)
    monkeypatch.setattr("pipeline.data.shuffle.CELLS_PER_RUN", 32)
    stage.run(settings(), AT)
    before = pd.read_parquet(STORE / "genes.parquet")
    x_NG, label = counts(), codes()
    held_out_N = (label["cell_type"] == 2) & (label["perturbation"] == 1)
    x_NG[held_out_N] *= np.random.default_rng(1).integers(1, 50, GENES)  # same cells and genes detected, other counts
    write_raw(x_NG, label)
    stage.run(settings(min_counts_per_cell=0, min_genes_per_cell=0), AT)
    with_other_truth = pd.read_parquet(STORE / "genes.parquet")
    write_raw(counts(), label)
    stage.run(settings(min_counts_per_cell=0, min_genes_per_cell=0), AT)
    pd.testing.assert_frame_equal(with_other_truth, pd.read_parquet(STORE / "genes.parquet"))
    assert len(before) == len(with_other_truth)


@pytest.mark.usefixtures("_raw")
def test_fewer_genes_than_asked_for_are_all_kept_and_noted() -> None:
    stage.run(settings(highly_variable_genes=500), AT)
    dataset = json.loads((STORE / "dataset.json").read_text())
    assert dataset["genes"] == dataset["filtered"]["genes_after_filter"] < 500
    assert any("500 were asked for: all of them are kept" in note for note in dataset["notes"])
    assert open_store(STORE).genes == sorted(open_store(STORE).genes, key=lambda gene: int(gene.split()[1]))
    genes = pd.read_parquet(STORE / "genes.parquet")
    stage.run(settings(highly_variable_genes=dataset["genes"]), AT)
    as_many = json.loads((STORE / "dataset.json").read_text())
    assert not any("asked for" in note for note in as_many["notes"])  # nothing is missing
    assert as_many["genes"] == dataset["genes"]
    pd.testing.assert_frame_equal(pd.read_parquet(STORE / "genes.parquet"), genes)


def test_a_panel_too_small_to_rank_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_raw(counts()[:, :12] + 1, codes())
    stage.run(settings(min_counts_per_cell=0, min_genes_per_cell=0), AT)
    dataset = json.loads((STORE / "dataset.json").read_text())
    assert dataset["genes"] == 12
    assert any("not ranked" in note for note in dataset["notes"])
    with pytest.raises(ExpectedError, match="cannot be ranked"):
        stage.run(settings(min_counts_per_cell=0, min_genes_per_cell=0, highly_variable_genes=5), AT)


@pytest.mark.usefixtures("_raw")
def test_the_truth_of_simulated_cells_follows_the_kept_genes() -> None:
    genes = [f"gene {g}" for g in range(GENES)]
    truth = pd.DataFrame({"gene": genes, "cell_type": "T", "perturbation": "drug", "log_fold_change": np.arange(GENES)})
    write_raw(counts(), codes(), simulated=True)
    truth.to_parquet("data/raw/cfm_vc/pbmc/truth.parquet")
    stage.run(settings(), AT)
    kept = pd.read_parquet(STORE / "truth.parquet")
    assert kept["gene"].tolist() == open_store(STORE).genes
    assert [f"gene {value:.0f}" for value in kept["log_fold_change"]] == kept["gene"].tolist()


@pytest.mark.usefixtures("_raw")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"held_out": [{"cell_type": "t", "perturbation": "drug"}]}, "did you mean 'T'"),
        ({"held_out": [{"cell_type": "T", "perturbation": "control"}]}, "is the control"),
        ({"min_cells_per_group": 1000}, "9 group\\(s\\) have fewer than 1000 cells"),
        ({"min_counts_per_cell": 10**6}, "all 1,400 cells were dropped"),
        ({"min_cells_per_gene": 10**6}, "all 120 genes were dropped"),
    ],
)
def test_parameters_that_cannot_be_used_leave_the_previous_store(changed: dict[str, Any], message: str) -> None:
    stage.run(settings(), AT)
    before = shards()
    with pytest.raises(ExpectedError, match=message):
        stage.run(settings(**changed), AT)
    assert shards() == before


@pytest.mark.usefixtures("_raw")
@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "no source"])
def test_damaged_input_is_one_message(damage: str) -> None:
    path = Path("data/raw/cfm_vc/pbmc/cells.h5ad")
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "foreign":
        import anndata

        anndata.AnnData(scipy.sparse.csr_matrix(counts().astype(np.float32))).write_h5ad(path)
    else:
        Path("data/raw/cfm_vc/pbmc/source.json").unlink()
    with pytest.raises(ExpectedError, match=r"data/raw/cfm_vc/pbmc/(cells\.h5ad|source\.json)"):
        stage.run(settings(), AT)
    assert not STORE.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_raw")
def test_killed_in_the_middle_the_previous_store_stays(tmp_path: Path) -> None:
    stage.run(settings(), AT)
    before = shards()
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    # The child stops where it has written some of the new store, and waits there to be killed.
    program = (
        "import time\n"
        "from pathlib import Path\n"
        "from pipeline.data.store_writer import ShardWriter\n"
        "def finish(*_):\n    Path('reached').touch()\n    time.sleep(60)\n"
        "ShardWriter.finish = finish\n"
        "from pipeline.cfm_vc.params.preprocess import FoldPreprocess\n"
        "from pipeline.cfm_vc.stages import preprocess\n"
        "from pipeline.core.paths import StudyPaths\n"
        f"preprocess.run(FoldPreprocess.model_validate_json({settings(seed=5).model_dump_json()!r}), {AT!r})\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(PROJECT)})
    deadline = time.monotonic() + 60
    while not Path("reached").exists() and time.monotonic() < deadline:
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert Path("reached").exists()
    assert shards() == before
    stage.run(settings(seed=5), AT)
    assert shards() != before


def test_shards_of_cells_that_are_labelled_otherwise_are_of_another_store(tmp_path, monkeypatch):
    """Same counts, genes and splits: only the batches of cells tell the two stores apart."""
    monkeypatch.chdir(tmp_path)
    labels = codes()
    relabelled = {**labels, "batch": np.random.default_rng(1).permutation(labels["batch"])}
    for name, of in (("first", labels), ("second", relabelled)):
        write_raw(counts(), of)
        stage.run(settings(cells_per_shard=64), AT)
        shutil.copytree(STORE, tmp_path / name)
    shard = open_store(tmp_path / "first").dataset["splits"]["train"]["shards"][1]["file"]
    assert len(open_store(tmp_path / "first").read("train")) > 0
    shutil.copy(tmp_path / "second" / shard, tmp_path / "first" / shard)
    with pytest.raises(ExpectedError, match="it is left from another writing"):
        open_store(tmp_path / "first").read("train")
