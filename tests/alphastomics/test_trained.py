"""A trained AlphaSTomics in use: what is placed, told and drawn, and what is said about cells that are unusual."""

import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from pipeline.alphastomics.model.spatial_sampler import Sampling, sample
from pipeline.alphastomics.section_prediction import ExpressionByRows
from pipeline.alphastomics.trained import NEIGHBOURHOOD, Request, Tissue
from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json
from pipeline.core.sealed import read_sealed, write_sealed
from pipeline.data.new_cells import cells_of_anndata
from pipeline.data.unseen_categories import UnseenCategories
from pipeline.training.determinism import Purpose, torch_generator

CPU = torch.device("cpu")
QUICK = {"steps": 10, "draws": 2}
BY_SECTION = {"section_column": "section", "cell_type_column": "cell_type"}


@pytest.fixture(scope="module")
def tissue(tissue_project):
    return Tissue.load(tissue_project / "models/alphastomics/tissue/held_out/seed_0")


@pytest.fixture(scope="module")
def config(tissue_project):
    return read_json(tissue_project / "models/alphastomics/tissue/held_out/seed_0/config.json")


@pytest.fixture(scope="module")
def every(tissue_project):
    return anndata.read_h5ad(tissue_project / "data/raw/alphastomics/tissue/cells.h5ad")


def some(adata, section="section_4", cells=60):
    """The first cells of a section."""
    return adata[np.flatnonzero(adata.obs["section"] == section)[:cells]].copy()


def generators(draws=2, seed=0):
    return [torch_generator(CPU, seed, Purpose.PREDICTION, draw) for draw in range(draws)]


def standardised(tissue, adata):
    x = adata.X.toarray()
    return tissue.trained.standard.of_counts(x, x.sum(1))


def codes(tissue, adata):
    return np.array([tissue.trained.categories["cell_type"].index(label) for label in adata.obs["cell_type"]])


def test_a_placement_is_the_models_in_the_unit_of_the_training_sections(tissue, every, config):
    adata = some(every)
    placed = tissue.sample(adata, "expr_to_pos", **BY_SECTION, **QUICK, seed=5)
    given = tissue.trained.given(60, standardised(tissue, adata), cell_type_N=codes(tissue, adata))
    expected = tissue.trained.place(
        given, Sampling("expr_to_pos", 10, neighbourhood=NEIGHBOURHOOD), 2, generators(2, 5)
    )
    scale = np.mean([frame["scale"] for frame in config["frames"].values()])
    assert set(config["frames"]) == {"section_1", "section_2", "section_3"}
    np.testing.assert_allclose(placed.obsm["spatial"], expected.estimate_NS * scale, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(placed.obsm["spatial_draws"][:, :2], expected.draws_RNS[0] * scale, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(placed.obsm["spatial_draws"][:, 2:], expected.draws_RNS[1] * scale, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(placed.obs["spatial_spread"], expected.spread_N * scale, rtol=1e-5)
    assert list(placed.obs_names) == list(adata.obs_names)
    assert placed.n_vars == 0


def test_a_section_that_was_trained_on_is_placed_where_it_lay(tissue, every, config):
    """In its frame, not around its own mean: cells of one edge lie at that edge."""
    section = every[np.flatnonzero(every.obs["section"] == "section_2")]
    frame = config["frames"]["section_2"]
    adata = section[np.argsort(section.obsm["spatial"][:, 0])[-60:]].copy()
    placed = tissue.sample(adata, "expr_to_pos", **BY_SECTION, **QUICK)
    unknown = tissue.sample(adata, "expr_to_pos", cell_type_column="cell_type", **QUICK)
    in_frame_NS = (placed.obsm["spatial"] - frame["centre"]) / frame["scale"]
    assert 0.3 < in_frame_NS[:, 0].mean() < 2
    assert np.abs(in_frame_NS[:, 1].mean()) < 0.5
    np.testing.assert_allclose(unknown.obsm["spatial"].mean(0) / frame["scale"], in_frame_NS.mean(0), atol=0.5)
    assert list(placed.uns["celldag"]["notes"][1:]) == ["placed where they lay in training: section section_2"]
    [note] = unknown.uns["celldag"]["notes"][1:]
    scales = [frame["scale"] for frame in config["frames"].values()]
    assert note == (
        "not trained on, so placed around 0, in the unit of the training sections and at their mean scale "
        f"({np.mean(scales):.4g} of 3 sections, {min(scales):.4g} to {max(scales):.4g}): the cells"
    )


def test_a_section_does_not_depend_on_the_others_and_the_seed_decides(tissue, every):
    one, other = some(every), some(every, "section_1", 40)
    mixed = anndata.concat([other, one])[np.random.default_rng(0).permutation(100)].copy()
    again = mixed[mixed.obs["section"] == "section_4"].copy()
    for mode, place in (("expr_to_pos", "obsm"), ("pos_to_expr", "layers")):
        together = tissue.sample(mixed, mode, **BY_SECTION, **QUICK)[again.obs_names]
        alone = tissue.sample(again, mode, **BY_SECTION, **QUICK)
        reseeded = tissue.sample(again, mode, **BY_SECTION, **QUICK, seed=1)
        key = "spatial" if place == "obsm" else "expression_draw"
        first, second, third = (np.asarray(getattr(found, place)[key]) for found in (together, alone, reseeded))
        np.testing.assert_array_equal(first, second)
        assert not np.allclose(second, third)


def test_genes_are_matched_by_name_and_missing_ones_are_at_their_training_mean(tissue, every):
    adata = some(every)
    expected = tissue.sample(adata, "expr_to_pos", **QUICK)
    shuffled = adata[:, np.random.default_rng(1).permutation(adata.n_vars)].copy()
    np.testing.assert_array_equal(
        tissue.sample(shuffled, "expr_to_pos", **QUICK).obsm["spatial"], expected.obsm["spatial"]
    )
    fewer = adata[:, 3:].copy()
    fewer.var_names = [*fewer.var_names[:-1], "other"]
    answer = tissue.sample(fewer, "expr_to_pos", **QUICK)
    lost = [adata.var_names[place] for place in (0, 1, 2, -1)]
    assert answer.uns["celldag"]["notes"][0] == (
        f"genes: 76 of the model's 80 found, 4 taken at the training mean ({', '.join(lost)}); 1 others ignored (other)"
    )
    found_G = ~np.isin(tissue.genes, lost)
    counts = adata.X.toarray() * found_G
    x_NG = tissue.trained.standard.of_partial_counts(counts, counts.sum(1), found_G)
    sampling = Sampling("expr_to_pos", 10, neighbourhood=NEIGHBOURHOOD)
    by_hand = tissue.trained.place(tissue.trained.given(60, x_NG), sampling, 2, generators())
    scale = answer.obs["spatial_spread"].iloc[0] / by_hand.spread_N[0]
    np.testing.assert_allclose(answer.obsm["spatial"], by_hand.estimate_NS * scale, rtol=1e-4, atol=1e-2)


def test_unknown_labels_are_allowed_and_reported(tissue, every):
    adata = some(every)
    adata.obs["kind"] = ["martian"] * 20 + list(adata.obs["cell_type"][20:])
    answer = tissue.sample(adata, "pos_to_expr", cell_type_column="kind", **QUICK)
    assert list(answer.uns["celldag"]["notes"]) == ['cell type treated as "unknown": martian (20 cells)']
    adata.obs["kind"] = ["venusian"] * 20 + list(adata.obs["cell_type"][20:])
    same = tissue.sample(adata, "pos_to_expr", cell_type_column="kind", **QUICK)
    np.testing.assert_array_equal(answer.layers["expression"], same.layers["expression"])
    one = tissue.sample(adata, "pos_to_expr", cell_type="microglia", **QUICK)
    assert not np.allclose(one.layers["expression"], same.layers["expression"])


def test_expression_is_the_models_whatever_the_unit_of_the_places(tissue, every):
    adata = some(every)
    told = tissue.sample(adata, "pos_to_expr", **QUICK)
    centred_NS = adata.obsm["spatial"] - adata.obsm["spatial"].mean(0)
    position_NS = centred_NS / centred_NS.var(0).mean() ** 0.5  # variance 1 on the average over axes
    expected = tissue.trained.express(
        tissue.trained.given(60, position_NS=position_NS), Sampling("pos_to_expr", 10), 2, generators()
    )
    standard = tissue.trained.standard
    np.testing.assert_allclose(told.layers["expression"], standard.log_normalised(expected.estimate_NG), atol=1e-4)
    np.testing.assert_allclose(told.layers["expression_draw"], standard.log_normalised(expected.draw_NG), atol=1e-4)
    np.testing.assert_allclose(
        told.layers["expression_spread"], expected.spread_NG * standard.deviation_G, rtol=1e-2, atol=1e-4
    )
    assert list(told.var_names) == tissue.genes
    moved = anndata.AnnData(obs=adata.obs, obsm={"xy": adata.obsm["spatial"] * 1e-3 + 7})  # and without any counts
    again = tissue.sample(moved, "pos_to_expr", spatial="xy", **QUICK)
    np.testing.assert_allclose(again.layers["expression"], told.layers["expression"], atol=1e-3)


def test_a_part_of_a_section_that_was_trained_on_is_told_of_in_the_frame_of_the_whole(tissue, every, config):
    adata = some(every, "section_2")
    frame = config["frames"]["section_2"]
    position_NS = (adata.obsm["spatial"] - frame["centre"]) / frame["scale"]
    told = tissue.sample(adata, "pos_to_expr", section_column="section", **QUICK)
    number = tissue.trained.categories["section"].index("section_2")
    sampling, standard = Sampling("pos_to_expr", 10), tissue.trained.standard
    given = tissue.trained.given(60, position_NS=position_NS, section=number)
    expected_NG = standard.log_normalised(tissue.trained.express(given, sampling, 2, generators()).estimate_NG)
    np.testing.assert_allclose(told.layers["expression"], expected_NG, atol=1e-4)
    elsewhere = tissue.trained.given(60, position_NS=position_NS - position_NS.mean(0) + 1, section=number)
    other_NG = standard.log_normalised(tissue.trained.express(elsewhere, sampling, 2, generators()).estimate_NG)
    assert np.abs(other_NG - expected_NG).max() > 1e-2


def test_joint_draws_are_tissues_of_their_own(tissue, every):
    adata = anndata.concat([some(every, cells=30), some(every, "section_1", 30)])
    adata.obs["section"] = ["a"] * 30 + ["b"] * 30  # of one size, and unknown: alike but for their noise
    drawn = tissue.sample(adata, "joint", section_column="section", draws=2, steps=10)
    assert drawn.shape == (120, 80)
    assert drawn.obs_names.is_unique
    assert list(drawn.obs["draw"]) == [1] * 60 + [2] * 60
    assert list(drawn.obs_names[[0, 60]]) == [f"{adata.obs_names[0]}-1", f"{adata.obs_names[0]}-2"]
    parts = [drawn.obsm["spatial"][start : start + 30] for start in range(0, 120, 30)]
    assert all(not np.allclose(parts[0], other, rtol=0.1) for other in parts[1:])
    single = tissue.sample(adata, "joint", section_column="section", steps=10)
    np.testing.assert_array_equal(single.obsm["spatial"], drawn.obsm["spatial"][:60])
    assert list(single.obs_names) == list(adata.obs_names)
    by_hand = sample(
        tissue.trained.model, tissue.trained.noising, tissue.trained.given(30), Sampling("joint", 10),
        torch_generator(CPU, 0, Purpose.PREDICTION, 0, 1),
    )  # fmt: skip
    expected = tissue.trained.standard.log_normalised(by_hand.x_NG.numpy())
    np.testing.assert_allclose(single.layers["expression"][30:], expected, atol=1e-5)


def test_a_section_larger_than_a_neighbourhood_is_stitched(tissue, every):
    adata = some(every, cells=200)
    stitched = tissue.sample(adata, "expr_to_pos", neighbourhood=64, **QUICK).obsm["spatial"]
    assert not np.allclose(stitched, tissue.sample(adata, "expr_to_pos", **QUICK).obsm["spatial"])
    given = tissue.trained.given(200, standardised(tissue, adata))
    expected = tissue.trained.place(given, Sampling("expr_to_pos", 10, neighbourhood=64), 2, generators()).estimate_NS
    np.testing.assert_allclose(stitched / stitched.std(), expected / expected.std(), atol=1e-4)


def test_expression_made_dense_by_rows_is_that_of_all(tissue, every):
    names = tissue.genes[:-3]
    adata = every[:, names].copy()
    answers = tissue._brought(cells_of_anndata(adata), Request("expr_to_pos"), UnseenCategories([], []))
    rows_N = np.arange(5, len(adata), 2)
    by_rows = ExpressionByRows(answers.cells, rows_N, tissue.trained.standard, answers.found_G)
    counts_NG = answers.cells.dense(rows_N)
    dense_NG = tissue.trained.standard.of_partial_counts(counts_NG, answers.cells.library_size[rows_N], answers.found_G)
    asked = torch.tensor([[3, 0, 3], [1, 7, 2]])
    assert by_rows[asked].equal(torch.from_numpy(dense_NG)[asked])


def test_the_estimate_alone_is_that_of_one_draw(tissue, every):
    for mode in ("expr_to_pos", "pos_to_expr"):
        alone, drawn = (tissue.sample(some(every), mode, steps=10, draws=draws) for draws in (0, 1))
        assert {*alone.obsm, *alone.layers} == {"spatial" if mode == "expr_to_pos" else "expression"}
        for name in alone.obsm:
            np.testing.assert_array_equal(alone.obsm[name], drawn.obsm[name])
        for name in alone.layers:
            np.testing.assert_array_equal(alone.layers[name], drawn.layers[name])


def test_the_spread_of_expression_takes_two_draws_and_that_of_places_none(tissue, every):
    told = tissue.sample(some(every), "pos_to_expr", steps=10, draws=1)
    several, one, none = (tissue.sample(some(every), "expr_to_pos", steps=10, draws=draws) for draws in (2, 1, 0))
    for name in ("spatial_spread", "spatial_radius_90"):
        np.testing.assert_array_equal(one.obs[name], none.obs[name])
        assert (several.obs[name] > 0).all()
    assert (none.obs["spatial_radius_90"] > none.obs["spatial_spread"]).all()
    away = one.obsm["spatial_draws"] - one.obsm["spatial"]
    assert np.mean((away**2).sum(1) / one.obs["spatial_spread"] ** 2) == pytest.approx(1, rel=1e-3)
    mean = several.obsm["spatial_draws"].reshape(60, 2, 2).mean(1)
    np.testing.assert_allclose(mean, several.obsm["spatial"], atol=0.1)
    assert set(told.layers) == {"expression", "expression_draw"}


def changed(every, **columns):
    adata = some(every)
    adata.obs = adata.obs.assign(**columns)
    return adata


def at(every, places):
    adata = some(every)
    adata.obsm["spatial"] = places(adata.obsm["spatial"].copy())
    return adata


def put(places, cell, value):
    places[cell] = value
    return places


@pytest.mark.parametrize(
    ("mode", "cells", "options", "message"),
    [
        ("pos_to_expr", some, {"spatial": "spatail"}, "no obsm 'spatail', perhaps 'spatial'; there are spatial"),
        ("pos_to_expr", lambda e: at(e, lambda p: put(p, 3, np.nan)), {}, "no array of 2 finite coordinates"),
        ("pos_to_expr", lambda e: at(e, lambda p: np.hstack([p, p])), {}, "no array of 2 finite coordinates"),
        ("pos_to_expr", lambda e: at(e, lambda p: put(p, 3, p[5])), {}, "1 cell in the place of another cell"),
        ("expr_to_pos", lambda e: e[:, :5].copy(), {}, "holds 5 of the model's 80 genes, at least half are needed"),
        ("expr_to_pos", some, {"counts": "raw/X"}, "counts in raw/X: found matrices in X only"),
        ("expr_to_pos", some, {"section_column": "slice"}, "no column 'slice'"),
        (
            "expr_to_pos",
            lambda e: changed(e, slice=["a"] * 59 + ["b"]),
            {"section_column": "slice"},
            r"1 section of one cell \(b\)",
        ),
        (
            "joint",
            lambda e: changed(e, slice=["a"] * 59 + [None]),
            {"section_column": "slice"},
            "1 cell without a section in obs column 'slice', such as cell 60",
        ),
        ("expr_to_pos", some, {"cell_type": "a", "cell_type_column": "b"}, "both a cell_type for all cells"),
        ("joint", some, {"draws": 0}, "draws 0: expected a whole number from 1 to 1,000"),
        ("expr_to_pos", some, {"steps": 2000}, "steps 2000: expected a whole number from 1 to 1,000"),
        ("expr_to_pos", some, {"steps": 5}, "5 steps: the model was trained with 1,000; expected 10 to as many"),
        ("expr_to_pos", some, {"guidance": -1}, "guidance -1: expected a number from 0 to 1,000"),
        ("joint", some, {"guidance": 2}, "guidance has no effect in mode joint"),
        ("joint", some, {"neighbourhood": 1}, "neighbourhood 1: expected a whole number from 2 to 65,536"),
        ("backwards", some, {}, "no mode 'backwards': expected one of joint, expr_to_pos, pos_to_expr"),
    ],
)
def test_what_does_not_fit_is_one_message(tissue, every, mode, cells, options, message):
    with pytest.raises(ExpectedError, match=message):
        tissue.sample(cells(every), mode, **options)


def test_cells_without_a_count_are_taken_at_the_training_mean(tissue, every):
    adata = some(every)
    adata.X = csr_matrix(np.where(np.arange(60)[:, None] == 7, 0, adata.X.toarray()))
    placed = tissue.sample(adata, "expr_to_pos", **QUICK)
    assert "1 cell without a count: taken at the training mean" in placed.uns["celldag"]["notes"]
    x_NG = standardised(tissue, adata)
    x_NG[7] = 0
    sampling = Sampling("expr_to_pos", 10, neighbourhood=NEIGHBOURHOOD)
    expected = tissue.trained.place(tissue.trained.given(60, x_NG), sampling, 2, generators())
    scale = placed.obs["spatial_spread"].iloc[0] / expected.spread_N[0]
    np.testing.assert_allclose(placed.obsm["spatial"], expected.estimate_NS * scale, rtol=1e-4, atol=1e-2)


def test_a_model_without_a_sense_of_direction_says_so(tissue_project, every, tmp_path):
    from pipeline.alphastomics.model.calibration import Calibration
    from pipeline.alphastomics.model.network import SpatialConfig, SpatialDiffusion
    from pipeline.training.determinism import initial_weights
    from pipeline.training.weights import save_model

    config = read_json(tissue_project / "models/alphastomics/tissue/held_out/seed_0/config.json")
    free = SpatialConfig(**config.pop("config") | {"orientation": "free", "measured": 0})
    calibration = Calibration.fit(np.eye(2), np.array([1.0, 2.0])).described()
    config["calibration"] = {"typed": calibration, "untyped": calibration}
    with initial_weights(0):
        model = SpatialDiffusion(free)
    save_model(tmp_path / "free", model, {k: v for k, v in config.items() if k not in ("schema_version", "model")})
    placed = Tissue.load(tmp_path / "free").sample(some(every), "expr_to_pos", **QUICK)
    assert placed.uns["celldag"]["notes"][-1].startswith("the model has no shared frame")


def test_a_model_that_is_missing_or_of_an_older_version_is_one_message(tissue_project, tmp_path):
    with pytest.raises(ExpectedError, match=r"no usable model in .*nowhere.*dvc repro --force diffusion_train"):
        Tissue.load(tmp_path / "nowhere")
    shutil.copytree(tissue_project / "models/alphastomics/tissue/held_out/seed_0", tmp_path / "old")
    config = read_sealed(tmp_path / "old/config.json")
    del config["frames"]
    write_sealed(tmp_path / "old/config.json", config, "weights.safetensors")
    with pytest.raises(ExpectedError, match="has no frames, so it was trained by an older version"):
        Tissue.load(tmp_path / "old")


def test_what_it_comes_from_is_kept(tissue, every, config):
    origin = tissue.sample(some(every), "joint", steps=10).uns["celldag"]
    assert origin["command"] == "sample"
    assert origin["dataset_sha256"] == config["provenance"]["dataset_sha256"]
    assert origin["parameters"]["dimensions"] == 16
    assert origin["arguments"]["draws"] == 1
    assert origin["arguments"]["neighbourhood"] == NEIGHBOURHOOD
    assert pd.Series(origin["versions"]).index.tolist() == ["python", "torch", "numpy", "anndata"]
