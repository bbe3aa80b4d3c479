"""Every stage and command reads a file alike: `predict` and `sample` take what `ingest` takes, with the same labels."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from pipeline.cfm_vc.data.new_latents import latents_of_file
from pipeline.core.errors import ExpectedError
from pipeline.data.columns import missing_but
from pipeline.data.contract import CONTRACTS, Accepted, accept
from pipeline.data.new_cells import NewCells, cells_of_anndata, cells_of_file
from pipeline.data.obs_annotations import ObsAnnotations, labels_in
from pipeline.data.source import Source
from pipeline.data.standard_h5ad_reader import open_standard_h5ad
from pipeline.params.obs_column import ObsColumn

COLUMNS = {"perturbation": "condition", "cell_type": "cluster", "batch": "donor"}


def ingested(path: Path, control: str = "ctrl", spatial: str | None = None, **columns) -> Accepted:
    """As the stage ingest@cfm_vc-pbmc reads it; the standard copy lies beside it."""
    mapped = {name: ObsColumn.model_validate(column) for name, column in (COLUMNS | columns).items()}
    source = Source(path, "cfm_vc.ingest", "X", mapped, control, spatial=spatial)
    return accept(CONTRACTS["perturbation"], source, path.with_name("standard.h5ad"))


def labels(accepted: Accepted, covariate: str) -> list[str]:
    return accepted.columns[covariate].texts().tolist()


@pytest.fixture
def brought() -> Iterator[Callable[[Path], NewCells]]:
    """As predict, latent and sample read it."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(cells_of_file(path))


@pytest.mark.filterwarnings("ignore:Forward slashes:FutureWarning")
def test_a_column_with_a_slash_in_its_name(lab_adata, tmp_path, brought):
    expected = list(lab_adata.obs["cluster"])
    lab_adata.obs["cell/type"] = lab_adata.obs["cluster"]
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    assert labels(ingested(tmp_path / "cells.h5ad", cell_type="cell/type"), "cell_type") == expected
    new = brought(tmp_path / "cells.h5ad")
    assert labels_in(new, "cell/type").tolist() == expected
    assert list(new.obs.columns) == ["condition", "cluster", "donor", "cell/type"]


@pytest.mark.parametrize("index", [None, "barcode"])
def test_the_index_by_its_name_as_a_covariate(lab_adata, tmp_path, index, brought):
    lab_adata.obs_names = [f"{condition}_{n}" for n, condition in enumerate(lab_adata.obs["condition"])]
    lab_adata.obs.index.name = index
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    column = {"column": index or "_index", "pattern": "^([a-z]+)_"}
    found = labels(ingested(tmp_path / "cells.h5ad", perturbation=column), "perturbation")
    assert found == list(lab_adata.obs["condition"])
    assert labels_in(brought(tmp_path / "cells.h5ad"), index or "_index").tolist() == list(lab_adata.obs_names)
    assert labels_in(cells_of_anndata(lab_adata), index or "_index").tolist() == list(lab_adata.obs_names)


def test_an_index_that_is_a_column_too(lab_adata, tmp_path, brought):
    lab_adata.obs.index.name = "barcode"
    lab_adata.obs["barcode"] = lab_adata.obs_names
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    found = labels(
        ingested(tmp_path / "cells.h5ad", cell_type={"column": "barcode", "pattern": "([0-9])$"}), "cell_type"
    )
    assert found == [name[-1] for name in lab_adata.obs_names]
    assert "barcode" in brought(tmp_path / "cells.h5ad").obs.columns


def test_coordinates_in_a_table(lab_adata, tmp_path, brought):
    places = np.random.default_rng(0).normal(size=(80, 2))
    lab_adata.obsm["xy"] = pd.DataFrame(places, index=lab_adata.obs_names, columns=["x", "y"])
    lab_adata.obsm["text"] = pd.DataFrame({"x": ["a"] * 80}, index=lab_adata.obs_names)
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    ingested(tmp_path / "cells.h5ad", spatial="xy")
    with open_standard_h5ad(tmp_path / "standard.h5ad") as reader:
        np.testing.assert_array_equal(reader.spatial(), places)
    for new in (brought(tmp_path / "cells.h5ad"), cells_of_anndata(lab_adata)):
        np.testing.assert_array_equal(new.obsm("xy"), places)
        assert new.obsm("text") is None


def test_latents_in_a_table(lab_adata, tmp_path):
    latents = np.arange(80 * 3, dtype=np.float32).reshape(80, 3)
    lab_adata.obsm["X_z_int"] = pd.DataFrame(latents, index=lab_adata.obs_names, columns=list("abc"))
    lab_adata.obsm["X_z_tech"] = latents[:, :2]
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    with latents_of_file(tmp_path / "cells.h5ad", (3, 2)) as read:
        blocks = list(read.blocks(50))
    np.testing.assert_array_equal(np.concatenate([intrinsic for intrinsic, _ in blocks]), latents)
    np.testing.assert_array_equal(np.concatenate([technical for _, technical in blocks]), latents[:, :2])


def twice(adata: anndata.AnnData) -> None:
    adata.obs_names = ["cell1", "cell1", *adata.obs_names[2:]]


def genes_twice(adata: anndata.AnnData) -> None:
    adata.var_names = ["gene1", "gene1", *adata.var_names[2:]]


def no_counts(adata: anndata.AnnData) -> None:
    adata.X = None


@pytest.mark.filterwarnings("ignore:.* names are not unique:UserWarning")
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (twice, "cell names in obs: found 1 duplicate name (cell1); expected every name once"),
        (genes_twice, "gene names in var: found 1 duplicate name (gene1); expected every name once"),
        (no_counts, "counts in X: found matrices in none only; expected a matrix there"),
    ],
)
def test_what_one_refuses_all_refuse_with_the_same_words(lab_adata, tmp_path, spoil, words, brought):
    spoil(lab_adata)
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    for read in (ingested, brought, lambda path: cells_of_anndata(anndata.read_h5ad(path))):
        with pytest.raises(ExpectedError) as caught:
            read(tmp_path / "cells.h5ad")
        assert words in str(caught.value)


def test_repeated_cells_are_refused_by_decode_too(lab_adata, tmp_path):
    twice(lab_adata)
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    latents = latents_of_file(tmp_path / "cells.h5ad", (3, 2))
    with pytest.raises(ExpectedError, match=r"found 1 duplicate name \(cell1\)"), latents:
        pass


@pytest.mark.parametrize("label", ["None", "NA", "nan"])
def test_a_control_that_looks_like_no_value_is_a_label_where_it_is_asked_for(lab_adata, tmp_path, label, brought):
    lab_adata.obs["condition"] = lab_adata.obs["condition"].astype(str).replace("ctrl", label)
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    path = tmp_path / "cells.h5ad"
    accepted = ingested(path, control=label)
    assert accepted.columns["perturbation"].labels == sorted([label, "stim"])
    with open_standard_h5ad(tmp_path / "standard.h5ad") as reader:
        assert reader.covariate("perturbation").texts().tolist() == list(lab_adata.obs["condition"])
    annotations = ObsAnnotations(perturbation_column="condition", control=label)
    for new in (brought(path), cells_of_anndata(lab_adata)):
        assert (annotations.kept(new, "control") == (lab_adata.obs["condition"] == label)).all()
    with pytest.raises(ExpectedError, match=rf"40 cells with a missing value \(read as missing: the text '{label}'\)"):
        ingested(path, control="stim")


def test_a_cell_without_a_value_is_missing_whatever_is_asked_for(lab_adata, tmp_path, brought):
    values = pd.Series([None if n % 2 else "stim" for n in range(80)], index=lab_adata.obs_names, dtype="object")
    lab_adata.obs["condition"] = values
    lab_adata.obs["number"] = [np.nan if n % 2 else 1.0 for n in range(80)]
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    for new in (brought(tmp_path / "cells.h5ad"), cells_of_anndata(lab_adata)):
        for name, label in (("condition", "stim"), ("number", "1")):
            assert new.column(name, missing_but("nan")).texts()[:4].tolist() == [label, "", label, ""]


def legacy(path: Path, adata: anndata.AnnData, reference: str) -> None:
    """condition as anndata 0.7 wrote it, its reference to the categories kept, lost or null, or these lost too."""
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        codes, categories = obs["condition/codes"][:], obs["condition/categories"][:]
        del obs["condition"]
        obs["condition"] = codes
        if reference != "no categories":
            obs["__categories/condition"] = categories
        if reference == "kept":
            obs["condition"].attrs["categories"] = obs["__categories/condition"].ref
        if reference in ("null", "no categories"):
            obs["condition"].attrs["categories"] = h5py.h5r.Reference()
        if reference == "code 7":
            obs["condition"][3] = 7


@pytest.mark.parametrize("reference", ["kept", "lost", "null"])
def test_legacy_categories_are_found_by_name_where_the_reference_is_lost(lab_adata, tmp_path, reference, brought):
    path, expected = tmp_path / "cells.h5ad", list(lab_adata.obs["condition"])
    legacy(path, lab_adata, reference)
    assert labels(ingested(path), "perturbation") == expected
    new = brought(path)
    assert labels_in(new, "condition").tolist() == expected
    assert list(new.obs["condition"]) == expected


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("no categories", "obs/condition is stored as codes whose categories are lost"),
        ("code 7", "obs/condition is damaged: it has codes beyond its 2 categories"),
    ],
)
def test_codes_without_categories_are_never_labels(lab_adata, tmp_path, reference, words, brought):
    legacy(tmp_path / "cells.h5ad", lab_adata, reference)
    for read in (ingested, brought):
        with pytest.raises(ExpectedError, match=words):
            read(tmp_path / "cells.h5ad")


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_store_is_read_like_the_file(lab_adata, tmp_path, zarr_format):
    lab_adata.obs["size"] = pd.array([None, *range(79)], dtype="Int64")
    lab_adata.obs["ratio"] = np.linspace(0, 1, 80)
    lab_adata.obsm["xy"] = np.random.default_rng(0).normal(size=(80, 2))
    lab_adata.layers["dense"] = lab_adata.X.toarray()
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    with anndata.settings.override(zarr_write_format=zarr_format):
        lab_adata.write_zarr(tmp_path / "cells.zarr")

    read = []
    for name in ("cells.h5ad", "cells.zarr"):
        accepted = ingested(tmp_path / name, spatial="xy")
        copy = anndata.read_h5ad(tmp_path / "standard.h5ad")
        with cells_of_file(tmp_path / name, "layers/dense") as layer:
            sums = np.concatenate([np.add.reduceat(b.counts, b.indptr[:-1]) for b in layer.blocks()])
        covariates = {covariate: labels(accepted, covariate) for covariate in COLUMNS}
        read.append(SimpleNamespace(x=copy.X.toarray(), covariates=covariates, obs=layer.obs, sums=sums, copy=copy))
    file, store = read
    np.testing.assert_array_equal(store.x, lab_adata.X.toarray())
    np.testing.assert_array_equal(file.x, store.x)
    np.testing.assert_array_equal(store.copy.obsm["spatial"], lab_adata.obsm["xy"])
    np.testing.assert_array_equal(file.sums, store.sums)
    assert file.covariates == store.covariates
    pd.testing.assert_frame_equal(file.obs, store.obs)
    pd.testing.assert_frame_equal(file.obs, lab_adata.obs, check_index_type=False)
