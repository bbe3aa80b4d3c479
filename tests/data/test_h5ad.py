"""AnnData on disk: every layout and encoding is read as anndata reads it, in blocks, and damage is told plainly."""

import time
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from pipeline.core.errors import ExpectedError
from pipeline.data.columns import MISSING, UNMATCHED, Column
from pipeline.data.h5ad import open_anndata


def read_column(path: Path, name: str, pattern: str | None = None) -> Column:
    with open_anndata(path) as file:
        return file.column(name, pattern)


def dense(path: Path, where: str, rows: int) -> np.ndarray:
    """Reference: entry by entry from the blocks."""
    with open_anndata(path) as file:
        matrix = file.counts(where)
        whole = np.zeros(matrix.shape)
        for block in matrix.blocks(rows):
            assert block.indptr[0] == 0
            for cell in range(len(block)):
                for entry in range(block.indptr[cell], block.indptr[cell + 1]):
                    whole[block.start + cell, block.indices[entry]] += block.counts[entry]
    return whole


@pytest.mark.parametrize("rows", [1, 7, 80, 1000])
@pytest.mark.parametrize("layout", [csr_matrix, csc_matrix, np.asarray])
@pytest.mark.parametrize("where", ["X", "raw/X", "layers/counts"])
def test_counts_are_read_from_every_layout_and_place(lab_adata, tmp_path, layout, where, rows):
    truth = lab_adata.X.toarray()
    lab_adata.X = layout(truth)
    lab_adata.layers["counts"] = layout(truth)
    lab_adata.raw = lab_adata
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")

    np.testing.assert_array_equal(dense(tmp_path / "cells.h5ad", where, rows), truth)
    with open_anndata(tmp_path / "cells.h5ad") as file:
        assert file.count_places() == ["X", "raw/X", "layers/counts"]


def test_compressed_counts_and_wide_indices_are_read(lab_adata, tmp_path):
    truth = lab_adata.X.toarray()
    lab_adata.X.indices = lab_adata.X.indices.astype(np.int64)
    lab_adata.write_h5ad(tmp_path / "cells.h5ad", compression="gzip")
    np.testing.assert_array_equal(dense(tmp_path / "cells.h5ad", "X", 9), truth)


def test_an_absent_place_is_named_with_those_there_are(lab_adata, tmp_path):
    lab_adata.layers["raw_counts"] = lab_adata.X
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    with (
        pytest.raises(ExpectedError, match="no layers/counts; it has X, layers/raw_counts"),
        open_anndata(tmp_path / "cells.h5ad") as file,
    ):
        file.counts("layers/counts")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["b", "a", "b", "c"], ["a", "b", "c"]),
        ([10, 2, 10, 3], ["10", "2", "3"]),
        ([1.0, 2.5, 1.0, 2.5], ["1", "2.5"]),
        ([True, False, True, True], ["False", "True"]),
        (pd.Categorical(["b", "a", "b", "a"], categories=["a", "b", "unused"]), ["a", "b"]),
        (pd.Categorical([7, 8, 7, 8]), ["7", "8"]),
    ],
)
def test_columns_of_every_type_become_sorted_labels(lab_adata, tmp_path, values, labels):
    cells = lab_adata[:4].copy()
    cells.obs["column"] = values
    cells.write_h5ad(tmp_path / "cells.h5ad")
    column = read_column(tmp_path / "cells.h5ad", "column")
    assert column.labels == labels
    assert [labels[code] for code in column.codes] == [str(v).removesuffix(".0") for v in values]


@pytest.mark.parametrize(
    "values",
    [
        pd.Categorical(["a", None, "b", "a"]),
        pd.array(["a", None, "b", "a"], dtype="object"),
        [1.0, np.nan, 2.0, 1.0],
        pd.array([1, None, 2, 1], dtype="Int64"),
        pd.array([True, None, False, True], dtype="boolean"),
        ["a", "", "b", "a"],
    ],
)
def test_missing_values_have_no_label(lab_adata, tmp_path, values):
    cells = lab_adata[:4].copy()
    cells.obs["column"] = values
    cells.write_h5ad(tmp_path / "cells.h5ad")
    column = read_column(tmp_path / "cells.h5ad", "column")
    assert column.codes[1] == MISSING
    assert (column.codes[[0, 2, 3]] >= 0).all()
    assert column.codes[0] == column.codes[3] != column.codes[2]
    assert len(column.labels) == 2


def test_the_categorical_encoding_of_anndata_07_is_read(lab_adata, tmp_path):
    path = tmp_path / "cells.h5ad"
    lab_adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:  # codes as a dataset that refers to obs/__categories/<name>
        obs = file["obs"]
        codes, categories = obs["condition/codes"][:], obs["condition/categories"][:]
        del obs["condition"]
        obs["__categories/condition"] = categories
        obs["condition"] = codes
        obs["condition"].attrs["categories"] = obs["__categories/condition"].ref
    column = read_column(path, "condition")
    assert column.labels == ["ctrl", "stim"]
    assert column.codes[:3].tolist() == [0, 1, 0]
    with open_anndata(path) as file:
        assert file.obs_columns() == ["condition", "cluster", "donor"]


def test_a_pattern_keeps_its_group_and_shows_what_it_does_not_match(lab_adata, tmp_path):
    lab_adata.obs["sample"] = ["pool", *(f"{'ctrl' if n % 2 else 'stim'}10{n % 3}" for n in range(79))]
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    column = read_column(tmp_path / "cells.h5ad", "sample", r"(\d+)$")
    assert column.labels == ["100", "101", "102"]
    assert column.codes[0] == UNMATCHED
    assert column.codes[1:5].tolist() == [0, 1, 2, 0]
    assert column.unmatched == ["pool"]


def test_names_are_read_in_order(lab_adata, tmp_path):
    lab_adata.write_h5ad(tmp_path / "cells.h5ad")
    with open_anndata(tmp_path / "cells.h5ad") as file:
        assert file.names("obs") == list(lab_adata.obs_names)
        assert file.names("var") == list(lab_adata.var_names)


def damaged(path: Path, lab_adata, how: str) -> Path:
    if how == "nonexistent":
        return path
    if how == "folder":
        path.mkdir()
        return path
    if how == "not HDF5":
        path.write_text("gene,cell\n")
        return path
    lab_adata.write_h5ad(path)
    if how == "truncated":
        with path.open("r+b") as stream:
            stream.truncate(path.stat().st_size // 2)
        return path
    with h5py.File(path, "r+") as file:
        if how == "no obs":
            del file["obs"]
        if how == "gene out of range":
            file["X/indices"][5] = 12
        if how == "decreasing pointers":
            file["X/indptr"][3] = 0
        if how == "lengths":
            file["X/indptr"][-1] -= 1
        if how == "anndata 0.6":
            del file["obs"]
            file["obs"] = np.array([(b"cell", 1)], dtype=[("index", "S8"), ("condition", "i1")])
    return path


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("nonexistent", "not found"),
        ("folder", "is a folder"),
        ("not HDF5", "is not an HDF5 file"),
        ("truncated", "is truncated"),
        ("no obs", "no AnnData: found X, .*; expected obs and var beside the counts"),
        ("gene out of range", "gene indices outside 0 to 11 near cell 0"),
        ("decreasing pointers", "row pointers decrease"),
        ("lengths", "do not fit together"),
        ("anndata 0.6", "anndata before 0.7"),
    ],
)
def test_damage_is_an_expected_error(lab_adata, tmp_path, how, words):
    path = damaged(tmp_path / "cells.h5ad", lab_adata, how)
    with pytest.raises(ExpectedError, match=words), open_anndata(path) as file:
        list(file.counts().blocks(50))


def test_damage_inside_compressed_counts_is_an_expected_error(lab_adata, tmp_path):
    path = tmp_path / "cells.h5ad"
    lab_adata.write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)
    with pytest.raises(ExpectedError, match="is damaged"), open_anndata(path) as file:
        list(file.counts().blocks(50))


def test_memory_is_that_of_a_block_and_reading_is_fast(tmp_path):
    cells, per_cell = 200_000, 50
    path = tmp_path / "big.h5ad"
    with h5py.File(path, "w") as file:
        file.create_group("obs")
        file.create_group("var")
        counts = file.create_group("X")
        counts.attrs.update({"encoding-type": "csr_matrix", "shape": [cells, 100]})
        counts["indptr"] = np.arange(0, cells * per_cell + 1, per_cell)
        counts["indices"] = np.tile(np.arange(per_cell, dtype=np.int32), cells)
        counts["data"] = np.ones(cells * per_cell, np.int32)

    def read() -> int:
        with open_anndata(path) as file:
            return sum(int(block.counts.sum()) for block in file.counts().blocks(4096))

    tracemalloc.start()
    assert read() == cells * per_cell
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000  # two blocks of 4096 cells; the whole matrix is 80 MB

    started = time.perf_counter()
    read()
    assert cells * per_cell / (time.perf_counter() - started) > 20e6  # several hundred million on an idle machine
