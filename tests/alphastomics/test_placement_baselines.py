"""Baselines of placing cells and of expression in space: what each answers, on tissue small enough to know it."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

from pipeline.alphastomics.metrics.placement import placement_scores
from pipeline.alphastomics.metrics.spatial_expression import expression_scores
from pipeline.alphastomics.model.baselines import (
    CONTROLS,
    EXPRESSION,
    PLACEMENT,
    Query,
    Reference,
    _nearest,
    cell_type_centroid,
    cell_type_mean,
    knn,
    knn_in_space,
    knn_in_space_same_type,
    mean,
    pca_2,
    random,
    ridge,
)


def tissue(cells=300, genes=40, dimensions=2, seed=0, noise=0.5):
    """Two sections of one tissue, whose genes are gradients in space: training cells, a question, and its answers."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(dimensions, genes))
    places = rng.normal(size=(2 * cells, dimensions)) * np.arange(2, dimensions + 2)
    expression = places @ weights + noise * rng.normal(size=(2 * cells, genes))
    expression = (expression - expression[:cells].mean(axis=0)) / expression[:cells].std(axis=0)
    kind = (places[:, 0] > 0).astype(np.int64) + 2 * (places[:, 1] > 0)
    known = Reference(expression[:cells], places[:cells], kind[:cells])
    return known, Query(expression[cells:], places[cells:], kind[cells:], seed=0)


def hidden(query, **hides):
    """The question as a method gets it, without the answer."""
    return replace(query, **hides)


@pytest.mark.parametrize("name", PLACEMENT)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_placement_answers_without_knowing_the_positions(name, dimensions):
    known, query = tissue(dimensions=dimensions)
    asked = hidden(query, position_MS=None)
    placed = PLACEMENT[name](known, asked)
    assert placed.shape == query.position_MS.shape
    assert placed.dtype == np.float64
    np.testing.assert_array_equal(placed, PLACEMENT[name](known, asked))


@pytest.mark.parametrize("name", EXPRESSION)
def test_every_expression_answers_without_knowing_the_expression(name):
    known, query = tissue()
    answer = EXPRESSION[name](known, hidden(query, expression_MG=None))
    assert answer.shape == query.expression_MG.shape
    assert np.isfinite(answer).all()


def test_where_expression_says_the_place_the_methods_find_it():
    known, query = tissue()
    scores = {
        name: placement_scores(query.position_MS, method(known, hidden(query, position_MS=None)))["spearman_distances"]
        for name, method in PLACEMENT.items()
    }
    assert scores["ridge"] > 0.95
    assert scores["knn"] > 0.9
    assert scores["pca_2"] > 0.9
    assert 0.4 < scores["cell_type_centroid"] < scores["knn"]
    assert abs(scores["random"]) < 0.1


def test_where_expression_says_nothing_none_does():
    known, query = tissue()
    rng = np.random.default_rng(1)
    noise = Reference(rng.normal(size=known.expression_NG.shape), known.position_NS, rng.integers(0, 4, 300))
    asked = Query(rng.normal(size=query.expression_MG.shape), None, rng.integers(0, 4, 300), 0)
    for name, method in PLACEMENT.items():
        assert abs(placement_scores(query.position_MS, method(noise, asked))["spearman_distances"]) < 0.1, name


def test_random_places_are_training_places_and_follow_the_seed():
    known, query = tissue()
    placed = random(known, query)
    assert {tuple(place) for place in placed} <= {tuple(place) for place in known.position_NS}
    assert not np.array_equal(placed, random(known, replace(query, seed=1)))


def test_a_centroid_is_that_of_the_type_and_for_an_unknown_one_that_of_all():
    known = Reference(np.zeros((4, 1)), np.array([[0.0, 0], [2, 0], [5, 5], [9, 1]]), np.array([3, 3, 7, 7]))
    query = Query(None, None, np.array([7, 3, 5, 99, -1]), 0)
    placed = cell_type_centroid(known, query)
    np.testing.assert_array_equal(placed, [[7, 3], [1, 0], [4, 1.5], [4, 1.5], [4, 1.5]])


def test_the_types_mean_expression_is_that_of_the_type():
    known = Reference(np.array([[0.0, 4], [2, 0], [7, 7]]), np.zeros((3, 2)), np.array([1, 1, 2]))
    query = Query(None, np.zeros((3, 2)), np.array([1, 2, 0]), 0)
    np.testing.assert_allclose(cell_type_mean(known, query), [[1, 2], [7, 7], [3, 11 / 3]])
    np.testing.assert_allclose(mean(known, query), [[3, 11 / 3]] * 3)


def test_principal_components_are_those_of_scikit_learn_at_the_tissues_size():
    known, query = tissue(dimensions=3)
    placed = pca_2(known, query)
    model = PCA(3).fit(known.expression_NG)
    expected = model.transform(query.expression_MG)
    for axis in range(3):
        assert abs(np.corrcoef(placed[:, axis], expected[:, axis])[0, 1]) == pytest.approx(1)
    at_home = pca_2(known, replace(query, expression_MG=known.expression_NG))
    radii = [np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()) for x in (at_home, known.position_NS)]
    assert radii[0] == pytest.approx(radii[1])


def test_fewer_genes_than_dimensions_have_no_components():
    known, query = tissue(genes=1)
    with pytest.raises(ValueError, match="1 principal components cannot stand for 2 dimensions"):
        pca_2(known, query)


@pytest.mark.parametrize(("cells", "genes", "noise"), [(300, 40, 20), (60, 200, 40)])
def test_ridge_is_scikit_learns_with_the_penalty_that_predicts_best(cells, genes, noise):
    known, query = tissue(cells, genes, noise=noise)
    fold = np.random.default_rng(query.seed).permutation(cells) % 5
    errors = {}
    for power in range(-3, 4):
        model = Ridge(alpha=cells * 10.0**power)
        errors[power] = sum(
            (
                (
                    model.fit(known.expression_NG[fold != f], known.position_NS[fold != f]).predict(
                        known.expression_NG[fold == f]
                    )
                    - known.position_NS[fold == f]
                )
                ** 2
            ).sum()
            for f in range(5)
        )
    best = min(errors, key=errors.__getitem__)
    assert -3 < best < 3  # inside the grid
    expected = Ridge(alpha=cells * 10.0**best).fit(known.expression_NG, known.position_NS).predict(query.expression_MG)
    np.testing.assert_allclose(ridge(known, query), expected, atol=1e-8)


@pytest.mark.parametrize("cells", [300, 7])
def test_knn_is_scikit_learns(cells):
    known, query = tissue(cells, noise=2)
    model = PCA(min(30, cells - 1)).fit(known.expression_NG)
    expected = (
        KNeighborsRegressor(min(10, cells))
        .fit(model.transform(known.expression_NG), known.position_NS)
        .predict(model.transform(query.expression_MG))
    )
    np.testing.assert_allclose(knn(known, query), expected, atol=1e-9)


def test_knn_in_blocks_is_the_same(monkeypatch):
    known, query = tissue()
    whole = knn(known, query)
    monkeypatch.setattr("pipeline.alphastomics.model.baselines._BLOCK_ENTRIES", 1000)
    np.testing.assert_allclose(knn(known, query), whole, atol=1e-12)


def test_knn_in_space_is_scikit_learns_and_sees_more_than_the_mean():
    known, query = tissue()
    expected = KNeighborsRegressor(10).fit(known.position_NS, known.expression_NG).predict(query.position_MS)
    answer = knn_in_space(known, query)
    np.testing.assert_allclose(answer, expected, atol=1e-9)
    lift = 5 - query.expression_MG.min()
    truth = query.expression_MG + lift
    pcc = {
        name: expression_scores(truth, method(known, query) + lift, query.position_MS).means()["pcc"]
        for name, method in EXPRESSION.items()
    }
    assert pcc["mean"] == 0
    assert 0.4 < pcc["cell_type_mean"] < pcc["knn_in_space"]


def test_neighbours_of_the_same_type_are_of_the_same_type():
    """Two types share a place and differ in expression; of one there are three cells only."""
    kind = np.array([0] * 20 + [1] * 3)
    known = Reference(10.0 * kind[:, None], np.random.default_rng(0).normal(size=(23, 2)), kind)
    asked = Query(None, np.zeros((3, 2)), np.array([0, 1, 5]), 0)
    answer = knn_in_space_same_type(known, asked)
    assert answer[:2, 0].tolist() == [0, 10]
    np.testing.assert_array_equal(answer[2], knn_in_space(known, asked)[2])  # an unknown type
    assert 0 < answer[2, 0] < 10


def test_the_controls_bound_the_scores():
    _, query = tissue()
    true = query.position_MS
    best, worst = (placement_scores(true, CONTROLS[name](true, 0)) for name in ("truth", "shuffled"))
    assert best["knn_overlap"] == pytest.approx(1)
    assert abs(worst["spearman_distances"]) < 0.05
    moved = CONTROLS["shuffled"](true, 0)
    np.testing.assert_array_equal(np.sort(moved, axis=0), np.sort(true, axis=0))
    assert not np.array_equal(moved, CONTROLS["shuffled"](true, 1))


def test_what_a_method_needs_and_does_not_get_is_named():
    known, _ = tissue()
    blind = Query(None, None, np.zeros(5, np.int64), 0)
    for name in ("ridge", "pca_2", "knn"):
        with pytest.raises(ValueError, match="has no expression"):
            PLACEMENT[name](known, blind)
    with pytest.raises(ValueError, match="has no positions"):
        knn_in_space(known, blind)
    nameless = Query(np.zeros((5, 40)), np.zeros((5, 2)), None, 0)
    for name, method in {**PLACEMENT, **EXPRESSION}.items():
        if name in ("cell_type_centroid", "cell_type_mean", "knn_in_space_same_type"):
            with pytest.raises(ValueError, match="has no cell types"):
                method(known, nameless)
        else:
            assert len(method(known, nameless)) == 5
    with pytest.raises(ValueError, match="neither expression, positions nor cell types"):
        random(known, Query(None, None, None, 0))


def test_the_search_for_similar_cells_does_not_keep_what_it_computes_of_all_pairs(monkeypatch):
    monkeypatch.setattr("pipeline.alphastomics.model.baselines._BLOCK_ENTRIES", 20_000)
    known, asked = np.random.default_rng(0).normal(size=(2_000, 3)), np.random.default_rng(1).normal(size=(1_000, 3))
    tracemalloc.start()
    found = _nearest(known, asked, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6, "of 16 MB of indices"
    assert set(found[7]) == set(((known - asked[7]) ** 2).sum(axis=1).argsort()[:10])
