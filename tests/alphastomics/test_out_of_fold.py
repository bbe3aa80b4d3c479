"""A model in use: its estimates are combined as its file says, and its calibration is that of its file."""

from dataclasses import replace

import anndata
import numpy as np
import pytest
import torch

from pipeline.alphastomics.model.calibration import LEVELS
from pipeline.alphastomics.model.combination import Combination
from pipeline.alphastomics.model.spatial_sampler import Sampling
from pipeline.alphastomics.trained import Tissue
from pipeline.core.files import read_json
from pipeline.data.columns import UNKNOWN_TYPE
from pipeline.training.determinism import Purpose, torch_generator

FOLDER = "models/alphastomics/tissue/held_out/seed_0"
PLACING, TELLING = Sampling("expr_to_pos", 10), Sampling("pos_to_expr", 10)


@pytest.fixture(scope="module")
def trained(tissue_project):
    return Tissue.load(tissue_project / FOLDER).trained


@pytest.fixture(scope="module")
def cells(tissue_project):
    adata = anndata.read_h5ad(tissue_project / "data/raw/alphastomics/tissue/cells.h5ad")
    return adata[adata.obs["section"] == "section_4"][:50].copy()


def given(trained, cells, typed=True, position=False):
    codes = np.array([trained.categories["cell_type"].index(label) for label in cells.obs["cell_type"]])
    counts = cells.X.toarray()
    x_NG = trained.standard.of_counts(counts, counts.sum(1))
    known = {"position_NS": cells.obsm["spatial"] / 500} if position else {"x_NG": x_NG}
    return trained.given(len(codes), cell_type_N=codes if typed else None, **known)


def seeds(number=2):
    return [torch_generator(torch.device("cpu"), 0, Purpose.PREDICTION, draw) for draw in range(number)]


def test_a_model_says_how_its_estimates_are_combined_and_how_far_off_they_are(tissue_project):
    config = read_json(tissue_project / FOLDER / "config.json")
    genes = len(config["genes"])
    for name in ("typed", "untyped"):
        combination = config["combination"][name]
        assert len(combination["place"]) == 4
        assert np.shape(combination["expression"]) == (8, genes)
        for weights in (combination["place"], *np.transpose(combination["expression"])):
            assert sum(weights) == pytest.approx(1)
            assert min(weights) >= 0
        scores = config["calibration"][name]["scores"]
        assert scores == sorted(scores)
        assert len(scores) == len(LEVELS)


def test_an_estimate_is_the_combination_of_the_networks_and_those_from_measured_cells(trained, cells):
    for typed in (True, False):
        combination = trained.combination["typed" if typed else "untyped"]
        known = given(trained, cells, typed)
        network = trained.network_place(known, PLACING, seeds())
        near = trained.measured.places(known.x_NG.numpy())
        placed = trained.place(known, PLACING, 2, seeds())
        np.testing.assert_allclose(placed.estimate_NS, combination.place(network, near), atol=1e-5)
        np.testing.assert_allclose(trained.expected_place(known, PLACING, 2, seeds()).estimate_NS, placed.estimate_NS)
        np.testing.assert_allclose(placed.draws_RNS.mean(0), placed.estimate_NS, atol=1e-4)
        known = given(trained, cells, typed, position=True)
        network = trained.network_expression(known, TELLING, seeds())
        near = trained.near_expression(known, torch.arange(50))
        told = trained.express(known, TELLING, 2, seeds())
        np.testing.assert_allclose(told.estimate_NG, combination.expression(network, near), atol=1e-4)


def test_the_last_estimates_of_expression_are_the_means_of_the_type_and_of_all(trained, cells):
    known = given(trained, cells, position=True)
    near = trained.near_expression(known, torch.arange(50))
    types = known.cell_type_N.numpy()
    measured = trained.measured
    of_type = np.stack([measured.x_MG[measured.cell_type_M == code].mean(0) for code in types])
    np.testing.assert_allclose(near[:, -2], of_type, atol=1e-4)
    np.testing.assert_allclose(near[:, -1], np.tile(measured.x_MG.mean(0), (50, 1)), atol=1e-4)
    untold = trained.near_expression(given(trained, cells, typed=False, position=True), torch.arange(50))
    np.testing.assert_array_equal(untold[:, -2], untold[:, -1])
    np.testing.assert_array_equal(untold[:, :2], untold[:, 2:4])


def test_all_weight_on_one_estimate_gives_that_estimate(trained, cells):
    known = given(trained, cells)
    genes = len(trained.standard.mean_G)
    for number in range(3):
        weights = Combination(np.eye(4)[number], np.tile(np.eye(7)[0][:, None], genes))
        alone = replace(trained, combination=dict.fromkeys(trained.combination, weights))
        parts = [trained.network_place(known, PLACING, seeds()), *trained.near_places(known).places_NKS.swapaxes(0, 1)]
        np.testing.assert_allclose(
            alone.expected_place(known, PLACING, 2, seeds()).estimate_NS, parts[number], atol=1e-6
        )


def test_cells_of_a_missing_type_are_asked_about_as_if_it_were_not_told(trained, cells):
    for sampling, known in ((PLACING, {}), (TELLING, {"position": True})):
        untold = given(trained, cells, typed=False, **known)
        missing = replace(untold, cell_type_N=torch.full((50,), UNKNOWN_TYPE))
        if sampling is PLACING:
            found = [trained.place(one, sampling, 2, seeds()) for one in (untold, missing)]
        else:
            found = [trained.express(one, sampling, 2, seeds()) for one in (untold, missing)]
        for one, other in zip(*found, strict=True):
            np.testing.assert_array_equal(one, other)
