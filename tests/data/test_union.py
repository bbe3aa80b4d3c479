"""Several files are read as one: common genes, every cell, names that stay apart; and no file twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.core.paths import StudyPaths
from pipeline.data.contract import CONTRACTS, Accepted
from pipeline.data.csr import CsrBlock
from pipeline.data.gene_places import GenePlaces
from pipeline.data.parts import Part, read_parts, write_part
from pipeline.data.raw_cells import open_raw_cells
from pipeline.data.source import Source
from pipeline.data.standard_h5ad import standard_h5ad_file
from pipeline.data.union import merge
from pipeline.data.union_reader import Union
from pipeline.params.obs_column import ObsColumn
from pipeline.plan import read_plan
from tests.ingested import read_raw

RAW = Path("data/raw/alphastomics/tissue")
PARTS = Path("data/inputs/alphastomics/tissue")


@pytest.fixture
def merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Accepted]:
    """Ingests AnnData of these names as files of a study of tissue, and merges them into `RAW`."""
    monkeypatch.chdir(tmp_path)

    def make(first: bool = False, section: bool = True, **files: anndata.AnnData) -> Accepted:
        columns = {"cell_type": ObsColumn(column="cluster")}
        columns |= {"section": ObsColumn(column="slice")} if section else {}
        parts = []
        for name, adata in files.items():
            adata.write_h5ad(f"{name}.h5ad")
            constant = {} if section else {"section": name}
            options: dict[str, Any] = {"spatial": "xy", "constant": constant}
            options |= {"same_place": "first" if first else "refuse"}
            source = Source(Path(f"{name}.h5ad"), "alphastomics.ingest", "X", columns, **options)
            at = StudyPaths("alphastomics", "tissue", file=name)
            accepted = write_part(CONTRACTS["spatial"], source, at)
            parts.append(Part(at.part, f"{name}.h5ad", sha256(source.path), accepted.cells, accepted.notes))
        RAW.mkdir(parents=True, exist_ok=True)
        return merge(CONTRACTS["spatial"], source, parts, RAW)

    return make


@pytest.fixture
def two(tissue_adata) -> dict[str, anndata.AnnData]:
    """The two sections, a file each; the second has other genes in another order."""
    left, right = (tissue_adata[tissue_adata.obs["slice"] == name].copy() for name in ("left", "right"))
    right = right[:, [11, 0, 5, 2, 7]].copy()
    right.var_names = ["gene11", "gene0", "gene5", "gene2", "another"]
    return {"a": left, "b": right}


def test_the_common_genes_and_all_cells_are_read(merged, two):
    accepted = merged(**two)
    whole = read_raw(RAW)
    genes = ["gene0", "gene11", "gene2", "gene5"]  # in the order of their names, whatever that of the files
    assert list(whole.var_names) == genes
    expected = np.concatenate([two[name][:, genes].X.toarray() for name in "ab"])
    np.testing.assert_array_equal(whole.X.toarray(), expected)
    assert list(whole.obs_names) == [*two["a"].obs_names, *two["b"].obs_names]
    for name, column in (("section", "slice"), ("cell_type", "cluster")):
        assert list(whole.obs[name]) == [*two["a"].obs[column], *two["b"].obs[column]]
    np.testing.assert_array_equal(whole.obsm["spatial"], np.concatenate([two[name].obsm["xy"] for name in "ab"]))
    assert (accepted.cells, accepted.genes) == (80, 4)
    assert accepted.notes == ["9 genes of 13 not in every file, and so left out"]
    assert [path.name for path in RAW.iterdir()] == ["union.json"], "counts are not copied"


def test_any_run_of_cells_is_that_of_one_file_with_all_of_them(merged, two, tmp_path, monkeypatch):
    """The slow reference: one standard file, written from what anndata reads of all files."""
    merged(**two, c=two["a"][:7].copy(), d=two["a"][:2].copy())
    whole = read_raw(RAW)
    (tmp_path / "one").mkdir()
    with open_raw_cells(RAW) as reader, standard_h5ad_file(tmp_path / "one/cells.h5ad", reader.genes) as writer:
        x = csr_matrix(whole.X)
        writer.append(x.indptr.astype(np.int64), x.indices.astype(np.int32), x.data.astype(np.int32))
        columns = {name: reader.covariate(name) for name in ("section", "cell_type")}
        writer.finish([list(whole.obs_names)], columns, None, whole.obsm["spatial"])
    monkeypatch.setattr("pipeline.data.union_reader.MOST_OPEN", 2)
    with open_raw_cells(RAW) as several, open_raw_cells(tmp_path / "one") as one:
        assert (several.cells, several.genes) == (one.cells, one.genes)
        assert several.nonzeros >= one.nonzeros
        assert several.files == ((0, 40), (40, 80), (80, 87), (87, 89))
        assert one.files == ((0, 89),)
        for start, stop in [(0, 89), (3, 40), (39, 41), (86, 88), (40, 40), (30, 87), (5, 6), (81, 89), (0, 40)]:
            found, expected = several.block(start, stop), one.block(start, stop)
            for part in ("start", "indptr", "indices", "counts"):
                np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
                assert np.asarray(getattr(found, part)).dtype == np.asarray(getattr(expected, part)).dtype
            np.testing.assert_array_equal(several.names(start, stop), one.names(start, stop))
        assert len(several._open) == 2


def test_names_that_repeat_across_files_get_the_files_name_in_front(merged, two):
    two["b"].obs_names = ["cell3", *two["b"].obs_names[1:]]
    accepted = merged(**two)
    names = read_raw(RAW).obs_names
    assert list(names[:1]) == ["a/cell0"]
    assert list(names[40:42]) == ["b/cell3", "b/cell41"]
    assert any("cell names repeat" in note for note in accepted.notes)
    assert accepted.columns["section"].labels == ["left", "right"]


def test_sections_that_repeat_across_files_stay_apart(merged, two):
    for adata in two.values():
        adata.obs["slice"] = "slice 1"
    accepted = merged(**two)
    assert accepted.columns["section"].labels == ["a/slice 1", "b/slice 1"]
    assert accepted.columns["section"].codes.tolist() == [0] * 40 + [1] * 40
    assert list(read_raw(RAW).obs["section"]) == ["a/slice 1"] * 40 + ["b/slice 1"] * 40
    assert any("section names repeat" in note for note in accepted.notes)
    assert merged(section=False, **two).columns["section"].labels == ["a", "b"]


def test_of_cells_in_one_place_the_first_is_kept(merged, two):
    two["a"].obsm["xy"][[7, 12]] = two["a"].obsm["xy"][2]
    two["a"].obs["cluster"] = ["B"] * 7 + ["only here"] + ["B"] * 32
    with pytest.raises(ExpectedError, match="2 cells in the place of another"):
        merged(**two)
    accepted = merged(first=True, **two)
    kept = np.delete(np.arange(40), [7, 12])
    whole = read_raw(RAW)
    assert list(whole.obs_names) == [*two["a"].obs_names[kept], *two["b"].obs_names]
    genes = list(whole.var_names)
    expected = np.concatenate([two["a"][kept, genes].X.toarray(), two["b"][:, genes].X.toarray()])
    np.testing.assert_array_equal(whole.X.toarray(), expected)
    np.testing.assert_array_equal(whole.obsm["spatial"][:38], two["a"].obsm["xy"][kept])
    assert accepted.columns["cell_type"].labels == ["B", "T"], "a label that no kept cell has is gone"
    assert accepted.cells == 78
    assert "a: 2 cells in the place of an earlier cell of the same section, left out" in accepted.notes


def test_files_that_share_no_gene_are_refused(merged, two):
    two["b"].var_names = [f"ENSG{number}" for number in range(5)]
    with pytest.raises(ExpectedError, match=r"share no gene: b.h5ad names ENSG0, ENSG1, ENSG2.*gene0, gene1, gene10"):
        merged(**two)


def test_files_of_other_dimensions_are_refused(merged, two):
    two["b"].obsm["xy"] = two["b"].obs[["x", "y", "z"]].to_numpy()
    with pytest.raises(ExpectedError, match=r"differ in dimensions \(a.h5ad 2, b.h5ad 3\)"):
        merged(**two)


def test_a_note_of_several_files_is_made_once(merged, two):
    for adata in two.values():
        x_NG = np.ones(adata.shape)
        x_NG[:, 1] = 0
        adata.X = csr_matrix(x_NG)
    two["b"].obs["cluster"] = ["unassigned", *two["b"].obs["cluster"][1:]]
    notes = merged(**two, c=two["b"].copy()).notes
    assert notes[0] == "every file: 1 gene without a count; preprocess drops them"
    assert notes[1].startswith("b, c: 1 cell without a cell type ('unassigned')")


def test_a_copy_that_changed_since_the_merge_is_refused(merged, two):
    merged(**two)
    union = Union.read(RAW / "union.json")
    (PARTS / "a/cells.h5ad").write_bytes((PARTS / "b/cells.h5ad").read_bytes())
    with open_raw_cells(RAW) as reader:
        assert reader.block(0, 5).counts.size
    Union(union.genes, [*union.members[:1], union.members[0].__class__(**{**vars(union.members[1]), "cells": 39})],
          False, False).write(RAW / "union.json")  # fmt: skip
    with open_raw_cells(RAW) as reader, pytest.raises(ExpectedError, match=r"b/cells\.h5ad has 40 cells, and had 39"):
        reader.covariate("cell_type")
    (RAW / "union.json").write_text("{")
    with pytest.raises(ExpectedError, match=r"union.json is damaged: .* --force ingest@alphastomics-tissue"):
        Union.read(RAW / "union.json")
    (RAW / "union.json").write_text('{"schema_version": 9}')
    with pytest.raises(ExpectedError, match="of another version than this code"):
        Union.read(RAW / "union.json")


@pytest.mark.parametrize("genes", ["the same", "a subset", "another order", "fewer in another order", "more"])
def test_genes_are_put_in_place_as_dense_indexing_does(genes):
    random = np.random.default_rng(0)
    found = [f"g{number}" for number in range(9)]
    wanted = {
        "the same": found,
        "a subset": found[1::2],
        "another order": [found[place] for place in random.permutation(9)],
        "fewer in another order": ["g4", "g8", "g0", "g3"],
        "more": ["x", *found, "y"],
    }[genes]
    x_NG = random.poisson(0.7, (30, 9)).astype(np.int32)
    rows, places = np.nonzero(x_NG)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=30))])
    block = CsrBlock(6, indptr, places.astype(np.int32), x_NG[x_NG > 0])
    before = block.counts.copy()
    of_wanted = GenePlaces.of(found, wanted).apply(block)
    dense_NG = np.zeros((30, len(wanted)), np.int32)
    for cell in range(30):
        entries = slice(of_wanted.indptr[cell], of_wanted.indptr[cell + 1])
        assert (np.diff(of_wanted.indices[entries]) > 0).all()
        dense_NG[cell, of_wanted.indices[entries]] = of_wanted.counts[entries]
    for place, gene in enumerate(wanted):
        expected = x_NG[:, found.index(gene)] if gene in found else np.zeros(30)
        np.testing.assert_array_equal(dense_NG[:, place], expected)
    np.testing.assert_array_equal(block.counts, before)
    assert (of_wanted.indices.dtype, of_wanted.counts.dtype, of_wanted.start) == (np.int32, np.int32, 6)


def test_parts_that_are_missing_or_left_over_are_named(merged, two, monkeypatch):
    merged(**two)
    at = StudyPaths("alphastomics", "tissue")
    assert read_plan() == {}
    assert read_parts(at) == []
    names = {name: Path(f"{name}.h5ad") for name in "ab"}
    monkeypatch.setattr("pipeline.data.parts.planned_files", lambda _: names)
    assert [(part.file, part.cells) for part in read_parts(at)] == [("a.h5ad", 40), ("b.h5ad", 40)]
    names["c"] = Path("c.h5ad")
    with pytest.raises(ExpectedError, match=r"c/part.json not found: run dvc repro ingest_file@alphastomics-tissue-c"):
        read_parts(at)
    del names["b"], names["c"]
    with pytest.raises(ExpectedError, match=r"data/inputs/alphastomics/tissue holds b, of which plan.yaml does not"):
        read_parts(at)
