"""Simulated sections of tissue: what the recipe promises is there, and expression holds the places."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from pipeline.alphastomics.data.recipe import TissueRecipe, read_recipe
from pipeline.alphastomics.data.simulation import Tissue, fields, simulate
from pipeline.alphastomics.model.baselines import Query, Reference, knn, random, ridge
from pipeline.core.errors import ExpectedError

RECIPE = Path(__file__).parents[2] / "data/embedded/tissue.yaml"


def recipe(**changes: Any) -> TissueRecipe:
    return TissueRecipe.model_validate(read_recipe(RECIPE).model_dump() | changes)


def dense(tissue: Tissue) -> np.ndarray:
    x_NG = np.zeros((len(tissue.places_NS), len(tissue.genes)), np.int64)
    for block in tissue.blocks():
        rows = np.repeat(block.start + np.arange(len(block)), np.diff(block.indptr))
        x_NG[rows, block.indices] = block.counts
    return x_NG


def logs(x_NG: np.ndarray) -> np.ndarray:
    return np.log1p(300 * x_NG / x_NG.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_sections_have_the_size_asked_for(dimensions):
    tissue = simulate(recipe(dimensions=dimensions, cells_per_section=150))
    section, cell_type = tissue.columns["section"], tissue.columns["cell_type"]
    assert tissue.places_NS.shape == (600, dimensions)
    assert section.labels == ["section_1", "section_2", "section_3", "section_4"]
    assert np.bincount(section.codes).tolist() == [150] * 4
    assert cell_type.labels == sorted(recipe().cell_types)
    assert len(tissue.genes) == len(set(tissue.genes)) == 80
    names = [name for block in tissue.names() for name in block]
    assert len(set(names)) == 600
    assert names[150] == "section_2_cell_00000"
    x_NG = dense(tissue)
    assert 250 < np.median(x_NG.sum(axis=1)) < 350
    assert (x_NG.sum(axis=1) > 0).all()


def test_sections_may_have_different_numbers_of_cells():
    tissue = simulate(recipe(sections=40, cells_per_section=100, cells_spread=0.4))
    cells_P = np.bincount(tissue.columns["section"].codes)
    assert len(cells_P) == 40
    assert cells_P.sum() == len(tissue.places_NS) == len(dense(tissue))
    assert np.log(cells_P / 100).std() == pytest.approx(0.4, rel=0.3)
    assert cells_P.max() <= recipe(sections=40, cells_per_section=100, cells_spread=0.4).largest_section
    names = [name for block in tissue.names() for name in block]
    assert len(set(names)) == len(names)
    assert names[cells_P[0]] == "section_02_cell_00000"
    np.testing.assert_array_equal(np.bincount(simulate(recipe()).columns["section"].codes), 500)  # none: as asked for


def test_the_same_recipe_gives_the_same_cells_and_another_seed_others():
    one, two, other = simulate(recipe()), simulate(recipe()), simulate(recipe(seed=1))
    np.testing.assert_array_equal(one.places_NS, two.places_NS)
    np.testing.assert_array_equal(dense(one), dense(two))
    np.testing.assert_array_equal(dense(one), dense(one))
    assert (dense(one) != dense(other)).any()


def test_every_section_lies_elsewhere_in_its_own_size():
    tissue = simulate(recipe())
    places = tissue.places_NS.reshape(4, 500, 2)
    assert len(np.unique(places.mean(axis=1).round(), axis=0)) == 4
    assert len(np.unique(np.ptp(places, axis=1).round(1))) == 8
    plain = simulate(recipe(offset=0.0, scale_spread=0.0, outline=0.0, curvature=0.0)).places_NS
    np.testing.assert_allclose(np.ptp(plain, axis=0), [1500, 1000], rtol=0.01)
    assert np.abs(plain).max() <= 750


def test_the_layers_bend_towards_the_lateral_edges():
    straight, bent = simulate(recipe(curvature=0.0)), simulate(recipe(curvature=0.5))
    np.testing.assert_array_equal(straight.tissue_NS, bent.tissue_NS)
    for code in range(4):
        rows = straight.columns["section"].codes == code
        sunk_NS = straight.places_NS[rows] - bent.places_NS[rows]
        np.testing.assert_allclose(sunk_NS[:, 0], 0, atol=1e-9)
        expected_N = 1000 * 0.5 * straight.tissue_NS[rows, 1] ** 2
        magnification = sunk_NS[:, 1].sum() / expected_N.sum()
        np.testing.assert_allclose(sunk_NS[:, 1], magnification * expected_N, atol=1e-6)
        assert 0.5 < magnification < 2


@pytest.mark.parametrize("dimensions", [2, 3])
def test_turning_changes_places_and_nothing_else(dimensions):
    changes = {"dimensions": dimensions, "cells_per_section": 60, "sections": 12}
    upright, turned = simulate(recipe(**changes)), simulate(recipe(**changes, rotated=True))
    np.testing.assert_array_equal(dense(upright), dense(turned))
    determinants = []
    for code in range(12):
        rows = upright.columns["section"].codes == code
        before_NS, after_NS = upright.places_NS[rows], turned.places_NS[rows]
        np.testing.assert_allclose(pdist(before_NS), pdist(after_NS))
        centred = [places_NS - places_NS.mean(axis=0) for places_NS in (before_NS, after_NS)]
        turn_SS = np.linalg.lstsq(*centred, rcond=None)[0]
        np.testing.assert_allclose(turn_SS @ turn_SS.T, np.eye(dimensions), atol=1e-9)
        assert np.abs(turn_SS - np.eye(dimensions)).max() > 0.01
        determinants.append(np.linalg.det(turn_SS))
    assert min(determinants) < 0 < max(determinants), "some are mirrored, some not"


def test_types_follow_the_domains_as_purely_as_asked_for():
    tissue = simulate(recipe(cells_per_section=3000))
    own = np.array([tissue.columns["cell_type"].labels.index(name) for name in recipe().cell_types])
    share = (tissue.columns["cell_type"].codes == own[tissue.domain_N]).mean()
    assert share == pytest.approx(0.6 + 0.4 / 8, abs=0.02)
    mixed = simulate(recipe(cells_per_section=3000, purity=0.0))
    assert (mixed.columns["cell_type"].codes == own[mixed.domain_N]).mean() == pytest.approx(1 / 8, abs=0.02)
    heights = [tissue.tissue_NS[tissue.domain_N == domain, 0].mean() for domain in range(5)]
    assert (np.diff(heights) > 0).all()


def test_markers_stand_out_in_their_type():
    tissue = simulate(recipe())
    mean_NG = tissue.mean(slice(None))
    for code, label in enumerate(tissue.columns["cell_type"].labels):
        genes = [g for g, name in enumerate(tissue.genes) if name.startswith(f"{label}_marker")]
        assert len(genes) == 4
        inside = tissue.columns["cell_type"].codes == code
        assert (mean_NG[inside][:, genes].mean(axis=0) > 3 * mean_NG[~inside][:, genes].mean(axis=0)).all()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_genes_follow_the_field_that_they_are_named_after(dimensions):
    settings = recipe(dimensions=dimensions, batch_effect=0.0, markers_per_type=0, cells_per_section=800)
    tissue = simulate(settings)
    fields_NF = fields(tissue.tissue_NS, settings)
    assert (np.abs(fields_NF[:, -1]) <= 1).all()
    for gene, name in enumerate(tissue.genes):
        follows = np.flatnonzero(tissue.effect_FG[:, gene])
        kind = name.split("_")[0]
        expected = {"depth": {0}, "lateral": set(range(1, dimensions)), "patches": {dimensions}}.get(kind, set())
        assert set(follows) <= expected
        assert len(follows) == bool(expected)
    lateral = [g for g, name in enumerate(tissue.genes) if name.startswith("lateral")]
    assert (tissue.effect_FG[1:dimensions, lateral] > 0).any(axis=1).all(), "each axis has genes that rise"
    assert (tissue.effect_FG[1:dimensions, lateral] < 0).any(axis=1).all(), "and genes that fall"


def test_counts_are_negative_binomial_around_the_mean():
    settings = recipe(cells_per_section=2000, sections=1, counts_spread=0.0, counts_per_cell=2000.0)
    tissue = simulate(settings)
    mean_NG = 2000 * tissue.mean(slice(None))
    x_NG = dense(tissue)
    np.testing.assert_allclose(x_NG.mean(axis=0), mean_NG.mean(axis=0), rtol=0.1)
    variance_NG = mean_NG + mean_NG**2 / settings.inverse_dispersion
    assert ((x_NG - mean_NG) ** 2 / variance_NG).mean() == pytest.approx(1, abs=0.02)


def explained(settings: TissueRecipe) -> np.ndarray:
    """R2 of each axis of the tissue, (S,), in the last section, by a ridge regression on the others' expression."""
    tissue = simulate(settings)
    x_NG = logs(dense(tissue))
    training = tissue.columns["section"].codes < settings.sections - 1
    centre_G, centre_S = x_NG[training].mean(axis=0), tissue.tissue_NS[training].mean(axis=0)
    fitted_NG, target_NS = x_NG[training] - centre_G, tissue.tissue_NS[training] - centre_S
    weight_GS = np.linalg.solve(fitted_NG.T @ fitted_NG + 50 * np.eye(settings.genes), fitted_NG.T @ target_NS)
    error_NS = (x_NG[~training] - centre_G) @ weight_GS + centre_S - tissue.tissue_NS[~training]
    return 1 - (error_NS**2).mean(axis=0) / tissue.tissue_NS[~training].var(axis=0)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_expression_holds_the_places(dimensions):
    assert (explained(recipe(dimensions=dimensions)) > [0.75, 0.6, 0.4][:dimensions]).all()


def test_without_gradients_and_domains_expression_holds_no_places():
    flat = {name: {"genes": 5, "log_fold_change": 0.0} for name in ("depth", "lateral", "patches")}
    assert (explained(recipe(**flat, purity=0.0)) < 0.1).all()


def test_dense_cells_by_genes_are_never_in_memory():
    settings = recipe(sections=2, cells_per_section=20_000, genes=300)
    tracemalloc.start()
    tissue = simulate(settings)
    nonzeros = sum(len(block.counts) for block in tissue.blocks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert nonzeros > 40_000
    assert peak < 40_000 * 300 * 8 / 1.5, "dense floats of all cells take more, and there would be several of them"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dimensions": 4}, "dimensions = 4"),
        ({"cell_types": ["a", "a"]}, "must have different names"),
        ({"genes": 60}, "fewer than the 68"),
        ({"purity": 1.5}, "purity = 1.5"),
        ({"depht": 1}, "depht: unknown key; did you mean 'depth'?"),
    ],
)
def test_a_recipe_that_cannot_be_is_told(tmp_path, changes, words):
    import yaml

    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe().model_dump() | changes))
    with pytest.raises(ExpectedError) as caught:
        read_recipe(path)
    assert words in str(caught.value)


def test_the_tissue_in_three_dimensions_is_harder_for_the_most_similar_cells_than_for_a_linear_map():
    """Of single blocks of it, beside chance: what sets the recipe apart."""
    tissue = simulate(read_recipe(RECIPE.parents[2] / "benchmarks/tissue_3d.yaml"))
    assert tissue.places_NS.shape == (5000, 3)
    place_NS = (tissue.places_NS - tissue.places_NS.mean(0)) / tissue.places_NS.std()
    x_NG = logs(dense(tissue))
    x_NG = ((x_NG - x_NG.mean(0)) / x_NG.std(0)).astype(np.float32)
    test_N = (tissue.tissue_NS > 0.4).all(axis=1)
    known = Reference(x_NG[~test_N], place_NS[~test_N], tissue.columns["cell_type"].codes[~test_N].astype(np.int64))
    query = Query(x_NG[test_N], None, None, 0)
    true_NS = place_NS[test_N]
    error = {method: np.sqrt(((method(known, query) - true_NS) ** 2).sum(1).mean()) for method in (ridge, knn, random)}
    assert error[ridge] < 0.8 * error[knn]
    assert error[knn] < 0.9 * error[random]
