"""The contract of sections of tissue: every way a file can break it is named, all at once, with the way to mend it."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from pipeline.alphastomics.params.ingest import Ingest
from pipeline.core.errors import ExpectedError
from pipeline.data.contract import CONTRACTS, Accepted, accept
from pipeline.data.positions import repeats
from pipeline.data.source import Source
from pipeline.params.obs_column import ObsColumn

COLUMNS = {"section": ObsColumn(column="slice"), "cell_type": ObsColumn(column="cluster")}


def check(adata: anndata.AnnData, folder: Path, columns: dict[str, Any] = COLUMNS, **changed: Any) -> Accepted:
    adata.write_h5ad(folder / "cells.h5ad")
    source = Source(folder / "cells.h5ad", "alphastomics.ingest", "X", columns, **({"spatial": "xy"} | changed))
    return accept(CONTRACTS["spatial"], source, folder / "standard.h5ad")


def problems(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(ExpectedError) as caught:
        check(*args, **kwargs)
    return str(caught.value)


def test_params_and_contract_name_the_same_slots():
    slots = CONTRACTS["spatial"].slots
    assert {slot.name for slot in slots} < set(Ingest.model_fields)
    optional = {slot.name for slot in slots if slot.optional}
    assert optional == {name for name in ("section", "cell_type") if not Ingest.model_fields[name].is_required()}


def test_a_good_file_is_accepted_and_copied(tissue_adata, tmp_path):
    accepted = check(tissue_adata, tmp_path)
    copy = anndata.read_h5ad(tmp_path / "standard.h5ad")
    np.testing.assert_array_equal(copy.X.toarray(), tissue_adata.X.toarray())
    assert list(copy.obs["section"]) == list(tissue_adata.obs["slice"])
    assert list(copy.obs["cell_type"]) == list(tissue_adata.obs["cluster"])
    np.testing.assert_array_equal(copy.obsm["spatial"], tissue_adata.obsm["xy"])
    assert (accepted.cells, accepted.genes, accepted.notes) == (80, 12, [])


@pytest.mark.parametrize("names", [("x", "y"), ("y", "z", "x")])
@pytest.mark.parametrize("kind", [np.float32, np.int64, "Int64"])
def test_places_are_read_from_columns_of_obs(tissue_adata, tmp_path, names, kind):
    for name in names:
        tissue_adata.obs[name] = tissue_adata.obs[name].round().astype(kind)
    expected_NS = np.stack([tissue_adata.obs[name].to_numpy(np.float64) for name in names], axis=1)
    check(tissue_adata, tmp_path, spatial=names)
    copy = anndata.read_h5ad(tmp_path / "standard.h5ad")
    np.testing.assert_array_equal(copy.obsm["spatial"], expected_NS)


def test_covariates_that_the_file_lacks_are_one_label(tissue_adata, tmp_path):
    accepted = check(tissue_adata, tmp_path, {}, constant={"section": "cells", "cell_type": "unknown"})
    assert accepted.columns["section"].labels == ["cells"]
    copy = anndata.read_h5ad(tmp_path / "standard.h5ad")
    assert set(copy.obs["cell_type"]) == {"unknown"}
    assert set(copy.obs["section"]) == {"cells"}


def test_a_file_without_coordinates_is_refused(tissue_adata, tmp_path):
    tissue_adata.obsm["X_xy"] = tissue_adata.obsm.pop("xy")
    message = problems(tissue_adata, tmp_path)
    assert "obsm 'xy' (spatial): found no such array; there are X_xy; expected the positions of the cells" in message
    assert "perhaps 'X_xy', or to a list of the 2 or 3 obs columns that do" in message
    assert "null" not in message


def test_columns_that_hold_no_coordinates_are_refused_each(tissue_adata, tmp_path):
    message = problems(tissue_adata, tmp_path, spatial=("x", "cluster", "why"))
    assert "2 problems" in message
    assert "obs column 'cluster' (spatial): found something else than numbers" in message
    assert "obs column 'why' (spatial): found no such column; there are slice, cluster, x, y, z" in message


@pytest.mark.parametrize("shape", [(80, 1), (80, 4)])
def test_coordinates_of_another_shape_are_refused(tissue_adata, tmp_path, shape):
    tissue_adata.obsm["xy"] = np.zeros(shape)
    message = problems(tissue_adata, tmp_path)
    assert f"an array of shape {shape}; expected 2 or 3 coordinates for each of 80 cells" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spatial", ["xy", ("x", "y")])
def test_coordinates_that_are_not_finite_are_refused(tissue_adata, tmp_path, value, spatial):
    tissue_adata.obsm["xy"][[4, 6], 1] = value
    tissue_adata.obs["y"] = tissue_adata.obsm["xy"][:, 1]
    message = problems(tissue_adata, tmp_path, spatial=spatial)
    assert "2 cells with a NaN or infinite coordinate, such as cells 5, 7" in message


def test_a_masked_coordinate_is_not_finite(tissue_adata, tmp_path):
    tissue_adata.obs["x"] = tissue_adata.obs["x"].round().astype("Int64")
    tissue_adata.obs.loc["cell2", "x"] = pd.NA
    assert "1 cell with a NaN" in problems(tissue_adata, tmp_path, spatial=("x", "y"))


def test_two_cells_in_one_place_are_refused_inside_a_section_only(tissue_adata, tmp_path):
    tissue_adata.obsm["xy"][60] = tissue_adata.obsm["xy"][0]  # of the other section
    check(tissue_adata, tmp_path)
    tissue_adata.obsm["xy"][[5, 9]] = tissue_adata.obsm["xy"][3]
    message = problems(tissue_adata, tmp_path)
    assert "2 cells in the place of another cell of the same section, such as cells 6, 10" in message
    assert "set alphastomics.ingest.same_place to first" in message
    check(tissue_adata, tmp_path, same_place="first")
    whole = problems(tissue_adata, tmp_path, {}, constant={"section": "cells", "cell_type": "unknown"})
    assert "3 cells in the place of another cell" in whole


def test_repeats_agree_with_a_loop():
    random = np.random.default_rng(0)
    places_NS = random.integers(0, 4, (200, 2)).astype(np.float64)
    section_N = random.integers(0, 3, 200)
    seen: set[tuple[float, ...]] = set()
    expected = []
    for cell in range(200):
        key = (section_N[cell], *places_NS[cell])
        if key in seen:
            expected.append(cell)
        seen.add(key)
    assert repeats(places_NS, section_N).tolist() == expected
    assert repeats(np.arange(20.0).reshape(10, 2), np.zeros(10, np.int64)).tolist() == []


def test_a_section_of_one_cell_is_refused(tissue_adata, tmp_path):
    tissue_adata.obs["slice"] = ["lone", *["rest"] * 79]
    message = problems(tissue_adata, tmp_path)
    assert "obs column 'slice' (section): found 1 section of one cell (lone); expected at least 2 cells" in message


def test_labels_that_are_missing_are_refused(tissue_adata, tmp_path):
    tissue_adata.obs["slice"] = tissue_adata.obs["slice"].astype(object).where(np.arange(80) > 1)
    columns = COLUMNS | {"cell_type": ObsColumn(column="clusters")}
    message = problems(tissue_adata, tmp_path, columns)
    assert "obs column 'slice' (section): found 2 cells with a missing value" in message
    assert "set alphastomics.ingest.cell_type to the column that holds it, perhaps 'cluster'" in message


def test_all_problems_are_told_at_once(tissue_adata, tmp_path):
    tissue_adata.X = tissue_adata.X.multiply(0.37).tocsr()
    tissue_adata.obsm["xy"][3] = np.nan
    tissue_adata.var_names = ["gene1", *tissue_adata.var_names[1:]]
    message = problems(tissue_adata, tmp_path)
    assert "3 problems" in message
    for words in ("NaN or infinite", "duplicate name (gene1)", "non-integer"):
        assert words in message
