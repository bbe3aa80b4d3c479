"""Several files become one: common genes, every cell, names that stay apart."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ExpectedError
from pipeline.data.contract import CONTRACTS, Accepted
from pipeline.data.csr import CsrBlock
from pipeline.data.joined_files import accept_files, over_genes
from pipeline.data.source import Source
from pipeline.params.obs_column import ObsColumn


def joined(folder: Path, first: bool = False, section: bool = True, **files: anndata.AnnData) -> Accepted:
    columns = {"cell_type": ObsColumn(column="cluster")} | ({"section": ObsColumn(column="slice")} if section else {})
    sources = []
    for name, adata in files.items():
        adata.write_h5ad(folder / f"{name}.h5ad")
        constant = {} if section else {"section": name}
        options: dict[str, Any] = {"spatial": "xy", "constant": constant, "same_place": "first" if first else "refuse"}
        sources.append(Source(folder / f"{name}.h5ad", "alphastomics.ingest", "X", columns, **options))
    return accept_files(CONTRACTS["spatial"], sources, folder / "all.h5ad")


@pytest.fixture
def two(tissue_adata) -> dict[str, anndata.AnnData]:
    """The two sections, a file each; the second has other genes in another order."""
    left, right = (tissue_adata[tissue_adata.obs["slice"] == name].copy() for name in ("left", "right"))
    right = right[:, [11, 0, 5, 2, 7]].copy()
    right.var_names = ["gene11", "gene0", "gene5", "gene2", "another"]
    return {"a": left, "b": right}


def test_the_common_genes_and_all_cells_are_kept(two, tmp_path):
    accepted = joined(tmp_path, **two)
    whole = anndata.read_h5ad(tmp_path / "all.h5ad")
    genes = ["gene0", "gene2", "gene5", "gene11"]  # in the order of the first file
    assert list(whole.var_names) == genes
    expected = np.concatenate([two[name][:, genes].X.toarray() for name in "ab"])
    np.testing.assert_array_equal(whole.X.toarray(), expected)
    assert whole.X.has_canonical_format
    assert list(whole.obs_names) == [*two["a"].obs_names, *two["b"].obs_names]
    for name, column in (("section", "slice"), ("cell_type", "cluster")):
        assert list(whole.obs[name]) == [*two["a"].obs[column], *two["b"].obs[column]]
    np.testing.assert_array_equal(whole.obsm["spatial"], np.concatenate([two[name].obsm["xy"] for name in "ab"]))
    assert (accepted.cells, accepted.genes) == (80, 4)
    assert accepted.notes == ["9 genes of 13 not in every file, and so left out"]


def test_blocks_do_not_show(two, tmp_path, monkeypatch):
    joined(tmp_path, **two)
    whole = anndata.read_h5ad(tmp_path / "all.h5ad")
    monkeypatch.setattr("pipeline.data.joined_files.CELLS_PER_BLOCK", 7)
    monkeypatch.setattr("pipeline.data.joined_files.NAMES_PER_BLOCK", 3)
    joined(tmp_path, **two)
    again = anndata.read_h5ad(tmp_path / "all.h5ad")
    np.testing.assert_array_equal(again.X.toarray(), whole.X.toarray())
    pd.testing.assert_frame_equal(again.obs, whole.obs)


def test_names_that_repeat_across_files_get_the_files_name_in_front(two, tmp_path):
    two["b"].obs_names = ["cell3", *two["b"].obs_names[1:]]
    accepted = joined(tmp_path, **two)
    names = anndata.read_h5ad(tmp_path / "all.h5ad").obs_names
    assert list(names[:1]) == ["a/cell0"]
    assert list(names[40:42]) == ["b/cell3", "b/cell41"]
    assert any("cell names repeat" in note for note in accepted.notes)
    assert accepted.columns["section"].labels == ["left", "right"]


def test_sections_that_repeat_across_files_stay_apart(two, tmp_path):
    for adata in two.values():
        adata.obs["slice"] = "slice 1"
    accepted = joined(tmp_path, **two)
    assert accepted.columns["section"].labels == ["a/slice 1", "b/slice 1"]
    assert accepted.columns["section"].codes.tolist() == [0] * 40 + [1] * 40
    assert any("section names repeat" in note for note in accepted.notes)
    assert joined(tmp_path, section=False, **two).columns["section"].labels == ["a", "b"]


def test_of_cells_in_one_place_the_first_is_kept(two, tmp_path):
    two["a"].obsm["xy"][[7, 12]] = two["a"].obsm["xy"][2]
    two["a"].obs["cluster"] = ["B"] * 7 + ["only here"] + ["B"] * 32
    with pytest.raises(ExpectedError, match="2 cells in the place of another"):
        joined(tmp_path, **two)
    accepted = joined(tmp_path, first=True, **two)
    kept = np.delete(np.arange(40), [7, 12])
    whole = anndata.read_h5ad(tmp_path / "all.h5ad")
    assert list(whole.obs_names) == [*two["a"].obs_names[kept], *two["b"].obs_names]
    genes = list(whole.var_names)
    expected = np.concatenate([two["a"][kept, genes].X.toarray(), two["b"][:, genes].X.toarray()])
    np.testing.assert_array_equal(whole.X.toarray(), expected)
    np.testing.assert_array_equal(whole.obsm["spatial"][:38], two["a"].obsm["xy"][kept])
    assert accepted.columns["cell_type"].labels == ["B", "T"], "a label that no kept cell has is gone"
    assert accepted.cells == 78
    assert "2 cells in the place of an earlier cell of the same section, left out" in accepted.notes


def test_files_that_share_no_gene_are_refused(two, tmp_path):
    two["b"].var_names = [f"ENSG{number}" for number in range(5)]
    with pytest.raises(ExpectedError, match=r"share no gene: b.h5ad names ENSG0, ENSG1, ENSG2.*gene0, gene1, gene2"):
        joined(tmp_path, **two)


def test_files_of_other_dimensions_are_refused(two, tmp_path):
    two["b"].obsm["xy"] = two["b"].obs[["x", "y", "z"]].to_numpy()
    with pytest.raises(ExpectedError, match=r"differ in dimensions \(a.h5ad 2, b.h5ad 3\)"):
        joined(tmp_path, **two)


def test_the_problems_of_all_files_are_told_at_once(two, tmp_path):
    two["a"].obsm["xy"][0] = np.nan
    two["b"].obs = two["b"].obs.drop(columns="cluster")
    with pytest.raises(ExpectedError) as caught:
        joined(tmp_path, **two)
    assert "a.h5ad cannot be used, 1 problem" in str(caught.value)
    assert "b.h5ad cannot be used, 1 problem" in str(caught.value)


def test_over_genes_agrees_with_dense_indexing():
    random = np.random.default_rng(0)
    x_NG = random.poisson(0.7, (30, 9)).astype(np.int32)
    rows, genes = np.nonzero(x_NG)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=30))])
    block = CsrBlock(0, indptr, genes.astype(np.int32), x_NG[x_NG > 0])
    order, kept_N = np.array([4, 8, 0, 3]), random.random(30) < 0.6
    place_G = np.full(9, -1)
    place_G[order] = np.arange(4)
    found = over_genes(block, kept_N, place_G, 4)
    dense_NG = np.zeros((int(kept_N.sum()), 4), np.int32)
    for cell in range(len(found)):
        entries = slice(found.indptr[cell], found.indptr[cell + 1])
        assert (np.diff(found.indices[entries]) > 0).all()
        dense_NG[cell, found.indices[entries]] = found.counts[entries]
    np.testing.assert_array_equal(dense_NG, x_NG[kept_N][:, order])
