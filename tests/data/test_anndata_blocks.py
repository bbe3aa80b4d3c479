"""An AnnData made of blocks: what is written is what is put together in memory, wherever a matrix has its place."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix, issparse

from pipeline.data.anndata_blocks import AnnDataBlocks

GENES = ["a", "b", "c"]
X = np.array([[0, 1, 2], [3, 0, 0], [0, 0, 0], [4, 5, 6], [0, 0, 7]])
PLACES = {
    "X": csr_matrix(X.astype(np.int32)),
    "obsm/spatial": np.arange(10, dtype=np.float32).reshape(5, 2),
    "obsm/draws": np.arange(20, dtype=np.float32).reshape(5, 4),
    "layers/expression": X.astype(np.float32) / 2,
    "layers/counts": csr_matrix(X.astype(np.int32)),
}


def blocks_of(places):
    parts = [{place: matrix[rows] for place, matrix in places.items()} for rows in (slice(0, 2), slice(2, 5))]
    obs = pd.DataFrame({"spread": np.arange(5.0)}, index=[f"cell{i}" for i in range(5)])
    genes = GENES if any(not place.startswith("obsm/") for place in places) else []
    return AnnDataBlocks(obs, genes, iter(parts), lambda: {"note": "made"})


def dense(matrix):
    return matrix.toarray() if issparse(matrix) else matrix


@pytest.mark.parametrize(
    "names", [list(PLACES), ["X", "obsm/spatial"], ["obsm/spatial"], ["layers/expression"], ["layers/counts", "X"]]
)
def test_the_file_is_what_is_put_together_in_memory(names, tmp_path):
    places = {name: PLACES[name] for name in names}
    blocks_of(places).write(tmp_path / "out.h5ad")
    for found in (anndata.read_h5ad(tmp_path / "out.h5ad"), blocks_of(places).in_memory()):
        held = {"X": found.X} if found.X is not None else {}
        held |= {f"obsm/{name}": matrix for name, matrix in found.obsm.items()}
        held |= {f"layers/{name}": matrix for name, matrix in found.layers.items()}
        assert set(held) == set(names)
        for name, matrix in held.items():
            np.testing.assert_array_equal(dense(matrix), dense(places[name]))
            assert matrix.dtype == places[name].dtype
        assert list(found.obs["spread"]) == list(range(5))
        assert list(found.var_names) == (GENES if names != ["obsm/spatial"] else [])
        assert found.uns["note"] == "made"
