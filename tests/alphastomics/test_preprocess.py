"""The stage `preprocess`, held against the same computation done in memory."""

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from scipy.spatial.distance import cdist, pdist

from pipeline.alphastomics.data.section_splits import block_side
from pipeline.alphastomics.data.sections import frame_of, read_sections
from pipeline.alphastomics.params.ingest import Ingest
from pipeline.alphastomics.params.preprocess import FoldPreprocess
from pipeline.alphastomics.stages import ingest
from pipeline.alphastomics.stages import preprocess as stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256, write_json
from pipeline.core.paths import StudyPaths
from pipeline.data.columns import Column
from pipeline.data.standard_h5ad import standard_h5ad_file
from pipeline.data.store import SPLITS, Split, Store, open_store

CELLS, GENES = 1200, 90
SECTIONS, CELL_TYPES = ["a", "b", "c"], ["B", "NK", "T"]
AT = StudyPaths("alphastomics", "tissue", "held_out", 0)
STORE = Path("data/processed/alphastomics/tissue/held_out")
STARMAP = Path(__file__).parents[3] / "shared/data/starmap_mpfc_3sections.h5ad"


def settings(**changed: Any) -> FoldPreprocess:
    values = {
        "min_counts_per_cell": 20,
        "min_genes_per_cell": 12,
        "min_cells_per_gene": 10,
        "highly_variable_genes": 40,
        "test_sections": ["c"],
        "validation_sections": [],
        "blocks_per_side": 4,
        "test_share": 0.2,
        "validation_share": 0.2,
        "margin": 0.2,
        "seed": 0,
        "cells_per_shard": 256,
        "cells_per_row_group": 64,
    }
    return FoldPreprocess.model_validate(values | changed)


def counts() -> np.ndarray:
    random = np.random.default_rng(0)
    mean_G = random.lognormal(-1.2, 1.4, GENES)
    depth_N = random.lognormal(0, 0.5, CELLS)
    x_NG = random.poisson(depth_N[:, None] * mean_G * random.gamma(1.0, 1.0, (CELLS, GENES)))
    x_NG[:3] = 0  # empty cells
    x_NG[:, 5] = 0  # a gene that is never seen
    return x_NG


def codes() -> dict[str, np.ndarray]:
    return {"section": np.arange(CELLS) * 3 // CELLS, "cell_type": np.arange(CELLS) % 3}


def places(dimensions: int = 2) -> np.ndarray:
    """Three sections of another size and offset each."""
    section_N = codes()["section"][:, None]
    flat_NS = np.random.default_rng(1).uniform(0, 1, (CELLS, dimensions)) * np.array([3.0, 2.0, 1.0])[:dimensions]
    return flat_NS * np.array([100.0, 400.0, 50.0])[section_N] + 1000 * section_N


def write_raw(x_NG: np.ndarray, labels: dict[str, np.ndarray], places_NS: np.ndarray | None, **source: Any) -> None:
    """data/raw/alphastomics/tissue as ingest leaves it, in the working directory."""
    folder = Path("data/raw/alphastomics/tissue")
    folder.mkdir(parents=True, exist_ok=True)
    matrix = scipy.sparse.csr_matrix(x_NG)
    columns = {
        "section": Column(labels["section"].astype(np.int32), SECTIONS[: labels["section"].max() + 1], []),
        "cell_type": Column(labels["cell_type"].astype(np.int32), CELL_TYPES, []),
    }
    with standard_h5ad_file(folder / "cells.h5ad", [f"gene {g}" for g in range(x_NG.shape[1])]) as writer:
        writer.append(matrix.indptr.astype(np.int64), matrix.indices, matrix.data.astype(np.int32))
        writer.finish([[f"cell {n}" for n in range(len(x_NG))]], columns, None, places_NS)
    described = {
        "schema_version": 1,
        "kind": "spatial",
        "simulated": False,
        "description": "Cells of a test",
        "input": "test.h5ad",
        "input_sha256": "abc",
        "notes": ["a note of ingest"],
    }
    write_json(folder / "source.json", described | source)


@pytest.fixture
def _raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_raw(counts(), codes(), places())


def store() -> Store:
    return open_store(STORE, "spatial")


def kept() -> np.ndarray:
    x_NG = counts()
    kept_N: np.ndarray = (x_NG.sum(axis=1) >= 20) & ((x_NG > 0).sum(axis=1) >= 12)
    return kept_N


def numbers(split: Split) -> np.ndarray:
    """Which cells of the input are in a split, in the order of the store."""
    return np.array([int(name.removeprefix("cell ")) for name in store().read(split).names])


@pytest.mark.usefixtures("_raw")
@pytest.mark.parametrize("workers", [1, 2])
def test_the_store_holds_what_filtering_in_memory_leaves(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.pieces.CELLS_PER_PIECE", CELLS // workers // 2)
    monkeypatch.setattr("pipeline.data.shuffle.CELLS_PER_RUN", 32)
    stage.run(settings(workers=workers), AT)
    x_NG, label, kept_N = counts(), codes(), kept()
    assert 0.5 < kept_N.mean() < 0.99, "the data must exercise the filter"
    assert list(store().categories) == ["section", "cell_type"]
    assert store().dimensions == 2
    columns = [int(gene.removeprefix("gene ")) for gene in store().genes]
    seen: list[int] = []
    for split in SPLITS:
        cells, number = store().read(split), numbers(split)
        np.testing.assert_array_equal(cells.dense(slice(None)), x_NG[number][:, columns])
        np.testing.assert_array_equal(cells.library_size, x_NG[number][:, columns].sum(axis=1))
        for name, codes_N in label.items():
            np.testing.assert_array_equal(cells.covariates[name], codes_N[number])
        assert ((label["section"][number] == 2) == (split == "test")).all()
        seen += number.tolist()
    assert len(seen) == len(set(seen))
    margin = sum(section["cells"]["margin"] for section in store().dataset["sections"].values())
    assert margin > 0
    assert len(seen) + margin == kept_N.sum()
    assert kept_N[seen].all()


@pytest.mark.usefixtures("_raw")
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_section_has_its_frame_which_leads_back(dimensions: int) -> None:
    places_NS, section_N = places(dimensions), codes()["section"]
    write_raw(counts(), codes(), places_NS)
    stage.run(settings(), AT)
    found = {split: read_sections(store(), split) for split in SPLITS}
    assert [section.name for section in found["train"]] == ["a", "b"]
    assert [section.name for section in found["test"]] == ["c"]
    for split, sections in found.items():
        in_store = store().read(split).names.tolist()
        for section in sections:
            number = np.array([int(name.removeprefix("cell ")) for name in section.cells.names])
            assert SECTIONS[section.code] == section.name
            assert (section_N[number] == section.code).all()
            rows = [in_store.index(name) for name in section.cells.names]
            assert rows == sorted(rows), "in the order of the store"
            assert section.position_NS.dtype == np.float32
            np.testing.assert_allclose(section.frame.restored(section.position_NS), places_NS[number], rtol=1e-5)
            distance = pdist(section.position_NS[:50]) * section.frame.scale
            np.testing.assert_allclose(distance, pdist(places_NS[number[:50]]), rtol=1e-4, atol=1e-3)
    for code, name in enumerate(SECTIONS):
        every_NS = places_NS[kept() & (section_N == code)]
        centre_S = every_NS.mean(axis=0)
        np.testing.assert_allclose(frame_of(store(), name).centre, centre_S)
        assert frame_of(store(), name).scale == pytest.approx(np.sqrt(((every_NS - centre_S) ** 2).mean()))


@pytest.mark.usefixtures("_raw")
def test_the_descriptions_say_what_happened() -> None:
    stage.run(settings(), AT)
    dataset, section_N = store().dataset, codes()["section"]
    assert dataset["kind"] == "spatial"
    assert "control" not in dataset
    assert dataset["notes"] == ["a note of ingest"]
    assert (dataset["simulated"], dataset["input_sha256"], dataset["genes"]) == (False, "abc", 40)
    assert dataset["split"]["test"] == {"by": "sections", "sections": ["c"]}
    assert dataset["filtered"]["cells_after"] == kept().sum()
    assert dataset["filtered"]["empty_cells"] == 3
    for split in SPLITS:
        sizes = np.bincount(section_N[numbers(split)], minlength=3).tolist()
        assert [section["cells"][split] for section in dataset["sections"].values()] == sizes
    quality = json.loads(Path("reports/alphastomics/tissue/quality/held_out.json").read_text())
    assert quality["filtered"] == dataset["filtered"]
    assert sum(quality["histograms"]["counts_per_cell"]["after"]) == kept().sum()
    after = np.bincount(section_N[kept()])
    assert quality["sections"] == [
        {"section": name, "before": 400, "after": int(after[code])} for code, name in enumerate(SECTIONS)
    ]
    of_groups = {(group["section"], group["split"]): group["cells"] for group in quality["groups"]}
    assert len(of_groups) == 12
    assert of_groups["c", "test"] == after[2]
    assert sum(of_groups.values()) == kept().sum()


@pytest.mark.usefixtures("_raw")
def test_the_margin_reaches_the_store() -> None:
    stage.run(settings(test_sections=[]), AT)
    places_NS, section_N = places(), codes()["section"]
    assert {section.name for section in read_sections(store(), "test")} == set(SECTIONS)
    for code in range(3):
        side = block_side(places_NS[kept() & (section_N == code)], 4)
        parts = [number[section_N[number] == code] for number in map(numbers, SPLITS)]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert cdist(places_NS[parts[one]], places_NS[parts[other]]).min() >= 0.2 * side


@pytest.mark.usefixtures("_raw")
def test_genes_are_chosen_by_training_and_validation_cells() -> None:
    thresholds = {"min_counts_per_cell": 0, "min_genes_per_cell": 0}
    stage.run(settings(**thresholds), AT)
    before = pd.read_parquet(STORE / "genes.parquet")
    learned = np.concatenate([numbers("train"), numbers("validation")])
    columns = [int(gene.removeprefix("gene ")) for gene in before["gene"]]
    np.testing.assert_allclose(before["mean"], counts()[learned][:, columns].mean(axis=0))
    np.testing.assert_allclose(before["variance"], counts()[learned][:, columns].var(axis=0, ddof=1))

    other = np.setdiff1d(np.arange(CELLS), learned)  # test and margin
    x_NG = counts()
    x_NG[other] *= np.random.default_rng(1).integers(1, 50, GENES)  # the same genes detected, other counts
    write_raw(x_NG, codes(), places())
    stage.run(settings(**thresholds), AT)
    pd.testing.assert_frame_equal(pd.read_parquet(STORE / "genes.parquet"), before)
    x_NG = counts()
    x_NG[learned] *= np.random.default_rng(1).integers(1, 50, GENES)
    write_raw(x_NG, codes(), places())
    stage.run(settings(**thresholds), AT)
    assert not pd.read_parquet(STORE / "genes.parquet").equals(before)


def shards() -> dict[str, str]:
    files = sorted([*STORE.rglob("*"), *Path("reports").rglob("*")])
    return {str(path): sha256(path) for path in files if path.is_file()}


@pytest.mark.usefixtures("_raw")
def test_same_input_and_parameters_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run(settings(), AT)
    first = shards()
    shutil.rmtree(STORE)
    stage.run(settings(), AT)
    assert shards() == first
    stage.run(settings(seed=1), AT)
    assert shards() != first
    monkeypatch.setattr("pipeline.data.piece_tasks.ENTRIES_PER_BLOCK", 1)
    stage.run(settings(), AT)
    genes = f"{STORE}/genes.parquet"  # whose sums depend on the blocks, in the last digits
    assert shards() | {genes: ""} == first | {genes: ""}


@pytest.mark.usefixtures("_raw")
def test_any_number_of_workers_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.pieces.CELLS_PER_PIECE", 200)
    monkeypatch.setattr("pipeline.data.shuffle.CELLS_PER_RUN", 32)
    stage.run(settings(), AT)
    first = shards()
    for workers in (2, 4):
        shutil.rmtree(STORE)
        stage.run(settings(workers=workers), AT)
        assert shards() == first


@pytest.mark.usefixtures("_raw")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"test_sections": ["C"]}, "did you mean 'c'"),
        ({"validation_sections": ["c"]}, "'c' is both a test and a validation section"),
        ({"blocks_per_side": 1}, "too few to keep some of them for validation"),
        ({"margin": 50.0}, "no cells are left for train"),
        ({"min_counts_per_cell": 10**6}, "all 1,200 cells were dropped"),
        ({"min_cells_per_gene": 10**6}, "all 90 genes were dropped"),
    ],
)
def test_parameters_that_cannot_be_used_leave_the_previous_store(changed: dict[str, Any], message: str) -> None:
    stage.run(settings(), AT)
    before = shards()
    with pytest.raises(ExpectedError, match=message):
        stage.run(settings(**changed), AT)
    assert shards() == before


@pytest.mark.usefixtures("_raw")
def test_one_section_where_two_are_needed() -> None:
    label = codes() | {"section": np.zeros(CELLS, np.int64)}
    write_raw(counts(), label, np.random.default_rng(0).normal(size=(CELLS, 2)))
    with pytest.raises(ExpectedError, match="one section where two are needed, 'a': to split it by blocks"):
        stage.run(settings(test_sections=["a"]), AT)
    stage.run(settings(test_sections=[]), AT)
    assert all(len(read_sections(store(), split)) == 1 for split in SPLITS)


@pytest.mark.usefixtures("_raw")
def test_a_section_that_filtering_empties_is_told() -> None:
    x_NG = counts()
    x_NG[codes()["section"] == 1] = 0
    write_raw(x_NG, codes(), places())
    with pytest.raises(ExpectedError, match=r"all cells of section 'b' were dropped: lower alphastomics\.preprocess"):
        stage.run(settings(), AT)


@pytest.mark.usefixtures("_raw")
def test_input_without_places_or_without_a_source_is_one_message() -> None:
    write_raw(counts(), codes(), None)
    with pytest.raises(ExpectedError, match="has cells without positions"):
        stage.run(settings(), AT)
    Path("data/raw/alphastomics/tissue/source.json").unlink()
    with pytest.raises(ExpectedError, match="run ingest first, with: dvc repro ingest@alphastomics-tissue"):
        stage.run(settings(), AT)


def test_more_cells_than_memory_should_hold_are_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """60,000 cells x 500 genes, 3 in a hundred of which are counted: as dense floats 240 MB."""
    monkeypatch.chdir(tmp_path)
    cells, genes = 60_000, 500
    matrix = scipy.sparse.random(cells, genes, 0.03, "csr", np.float32, random_state=0)
    matrix.data = np.ceil(matrix.data * 5)
    adata = anndata.AnnData(matrix, obsm={"xy": np.random.default_rng(0).uniform(0, 1e4, (cells, 2))})
    adata.write_h5ad("cells.h5ad")
    del adata, matrix
    tracemalloc.start()
    ingest.run(Ingest(path="cells.h5ad", counts="X", spatial="xy"), AT)
    changes = {"test_sections": [], "min_counts_per_cell": 5, "min_genes_per_cell": 5, "highly_variable_genes": 100}
    stage.run(settings(**changes, cells_per_shard=65536, cells_per_row_group=4096), AT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(store().cells(split) for split in SPLITS) > 40_000
    assert peak < cells * genes * 8 / 4


@pytest.mark.skipif(not STARMAP.exists(), reason="the real sections are not here (../shared/data/starmap_*.h5ad)")
def test_each_real_section_can_be_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    columns = {"section": {"column": "section"}, "cell_type": {"column": "cell_type"}}
    ingest.run(Ingest.model_validate({"path": str(STARMAP), "counts": "X", "spatial": "spatial", **columns}), AT)
    real = anndata.read_h5ad(STARMAP)
    for name in real.obs["section"].unique():
        stage.run(settings(test_sections=[name], highly_variable_genes=200), AT)
        (held_out,) = read_sections(store(), "test")
        assert held_out.name == name
        assert len(held_out.cells) > 1000
        of_cells = real[held_out.cells.names.tolist()]
        np.testing.assert_allclose(
            held_out.frame.restored(held_out.position_NS), of_cells.obsm["spatial"], rtol=1e-6, atol=1e-2
        )
        np.testing.assert_array_equal(held_out.cells.dense(slice(None)), of_cells[:, store().genes].X.toarray())
        assert len(read_sections(store(), "train")) == len(read_sections(store(), "validation")) == 2
