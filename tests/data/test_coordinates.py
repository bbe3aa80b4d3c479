"""Spatial coordinates: what a lab's file must hold, and the one frame that models see them in."""

import anndata
import numpy as np
import pytest
from scipy.spatial.distance import pdist

from pipeline.core.errors import ExpectedError
from pipeline.data.coordinates import Frame
from tests.data.test_contract import check, problems

PLACES = np.random.default_rng(0).normal((3e5, -20.0), (50.0, 2.0), (80, 2))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_coordinates_are_carried_over(lab_adata, tmp_path, dimensions):
    lab_adata.obsm["where"] = np.random.default_rng(1).normal(size=(80, dimensions))
    check(lab_adata, tmp_path, spatial="where")
    copy = anndata.read_h5ad(tmp_path / "standard.h5ad")
    np.testing.assert_array_equal(copy.obsm["spatial"], lab_adata.obsm["where"])


def test_whole_numbers_are_coordinates_too(lab_adata, tmp_path):
    lab_adata.obsm["where"] = np.arange(160).reshape(80, 2)
    check(lab_adata, tmp_path, spatial="where")
    np.testing.assert_array_equal(
        anndata.read_h5ad(tmp_path / "standard.h5ad").obsm["spatial"], np.arange(160.0).reshape(80, 2)
    )


def test_a_key_that_is_not_there_is_told_with_those_that_are(lab_adata, tmp_path):
    lab_adata.obsm["X_spatial"] = PLACES
    message = problems(lab_adata, tmp_path, spatial="spatial")
    assert "obsm 'spatial' (spatial): found no such array; there are X_spatial" in message
    assert "set cfm_vc.ingest.spatial to the array that holds them, perhaps 'X_spatial'" in message


@pytest.mark.parametrize("dimensions", [1, 4])
def test_other_numbers_of_coordinates_are_refused(lab_adata, tmp_path, dimensions):
    lab_adata.obsm["spatial"] = np.zeros((80, dimensions))
    message = problems(lab_adata, tmp_path, spatial="spatial")
    assert f"found an array of shape (80, {dimensions}); expected 2 or 3 coordinates for each of 80 cells" in message


def test_a_table_is_refused(lab_adata, tmp_path):
    lab_adata.obsm["spatial"] = lab_adata.obs[["donor"]].copy()
    assert "found something else than an array of numbers" in problems(lab_adata, tmp_path, spatial="spatial")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_cells_without_a_place_are_told(lab_adata, tmp_path, value):
    lab_adata.obsm["spatial"] = PLACES.copy()
    lab_adata.obsm["spatial"][[4, 70], 1] = value
    message = problems(lab_adata, tmp_path, spatial="spatial")
    assert "found 2 cells with a NaN or infinite coordinate, such as cells 5, 71; expected finite" in message


def test_training_cells_have_mean_zero_and_radius_one_in_their_frame():
    scaled_NS = Frame.of(PLACES).scaled(PLACES)
    assert scaled_NS.dtype == np.float32
    np.testing.assert_allclose(scaled_NS.mean(axis=0), 0, atol=1e-6)
    assert (scaled_NS**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)


def test_the_tissue_is_not_bent():
    frame = Frame.of(PLACES[:50])
    np.testing.assert_allclose(pdist(frame.scaled(PLACES)) * frame.scale, pdist(PLACES), rtol=1e-4)


def test_a_frame_is_described_and_made_again():
    frame = Frame.of(PLACES)
    assert Frame(**frame.described()) == frame


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.1, 1e6)])
def test_cells_in_one_place_have_no_frame(place):
    with pytest.raises(ExpectedError, match="the same spatial coordinates"):
        Frame.of(np.tile(place, (7, 1)))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_frame_of_a_section_is_isotropic_and_leads_back(dimensions):
    places_NS = np.random.default_rng(2).normal(4e4, [100.0, 900.0, 30.0][:dimensions], (300, dimensions))
    frame = Frame.of_section(places_NS, "s1")
    scaled_NS = frame.scaled(places_NS)
    assert scaled_NS.dtype == np.float32
    np.testing.assert_allclose(scaled_NS.mean(axis=0), 0, atol=1e-4)
    assert scaled_NS.var(axis=0).mean() == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(pdist(scaled_NS), pdist(places_NS) / frame.scale, rtol=1e-3)
    np.testing.assert_allclose(frame.restored(scaled_NS), places_NS, atol=1e-3)
    np.testing.assert_allclose(Frame(**frame.described()).restored(scaled_NS), frame.restored(scaled_NS))
    assert frame.restored(scaled_NS).dtype == np.float64


def test_a_section_in_one_place_has_no_frame():
    with pytest.raises(ExpectedError, match="section 's1' that are left after filtering have the same place"):
        Frame.of_section(np.full((4, 2), 3e5), "s1")
