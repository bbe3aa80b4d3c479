"""Scores of predicted positions: against slow references, controls, and what they must not depend on."""

import itertools

import numpy as np
import pytest
from scipy.stats import ortho_group, pearsonr, spearmanr

from pipeline.alphastomics.metrics.placement import SCORES, contact_scores, knn_overlap, placement_scores

RMSDS = {name for name in SCORES if name.startswith("rmsd")}


def tissue(cells=60, dimensions=2, noise=0.2, seed=0):
    """True positions, and the same with noise."""
    random = np.random.default_rng(seed)
    true = random.uniform(size=(cells, dimensions)) * np.arange(2, dimensions + 2)
    return true, true + noise * random.normal(size=true.shape)


def distance(places, i, j):
    return float(np.sqrt(sum((a - b) ** 2 for a, b in zip(places[i], places[j], strict=True))))


def reference(true, predicted, k=10, quantile=0.1):
    """Every definition in loops, for positions without ties."""
    cells = range(len(true))
    pairs = list(itertools.combinations(cells, 2))
    d, p = ([distance(places, i, j) for i, j in pairs] for places in (true, predicted))
    per_cell, shared = [], []
    for i in cells:
        others = [j for j in cells if j != i]
        of = [[distance(places, i, j) for j in others] for places in (true, predicted)]
        per_cell.append((spearmanr(*of).statistic, pearsonr(*of).statistic))
        near = [{others[place] for place in np.argsort(row)[:k]} for row in of]
        shared.append(len(near[0] & near[1]) / k)
    factor = sum(a * b for a, b in zip(d, p, strict=True)) / sum(b * b for b in p)
    threshold = np.quantile(d, quantile)
    calls = [(a <= threshold, factor * b <= threshold) for a, b in zip(d, p, strict=True)]
    right, called, true_contacts = (sum(map(rule, calls)) for rule in (all, lambda c: c[1], lambda c: c[0]))
    return {
        "spearman_distances": spearmanr(d, p).statistic,
        "pearson_distances": pearsonr(d, p).statistic,
        "spearman_per_cell": np.mean([one[0] for one in per_cell]),
        "pearson_per_cell": np.mean([one[1] for one in per_cell]),
        "knn_overlap": np.mean(shared),
        "contact_precision": right / called,
        "contact_recall": right / true_contacts,
        "contact_f1": 2 / (called / right + true_contacts / right),
        "rmsd_in_frame_over_gyration": np.sqrt(
            sum(((a - b) ** 2).sum() for a, b in zip(true, predicted, strict=True))
            / sum(((a - true.mean(axis=0)) ** 2).sum() for a in true)
        ),
    }


@pytest.mark.parametrize(("dimensions", "noise"), [(2, 0.1), (2, 1.0), (3, 0.3)])
def test_the_scores_are_those_of_their_definitions(dimensions, noise):
    true, predicted = tissue(dimensions=dimensions, noise=noise)
    found = placement_scores(true, predicted)
    assert set(found) == set(SCORES)
    expected = reference(true, predicted)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_the_truth_is_perfect():
    true, _ = tissue(300)
    found = placement_scores(true, true)
    for name in SCORES:
        assert found[name] == pytest.approx(0 if name in RMSDS else 1, abs=1e-7), name


def test_the_truth_given_to_the_wrong_cells_is_chance():
    true, _ = tissue(600)
    found = placement_scores(true, np.random.default_rng(1).permutation(true))
    for name in ("spearman_distances", "pearson_distances", "spearman_per_cell", "pearson_per_cell"):
        assert abs(found[name]) < 0.05, name
    assert found["knn_overlap"] == pytest.approx(10 / 599, abs=0.01)
    assert found["contact_precision"] == pytest.approx(0.1, abs=0.02)
    assert found["rmsd_over_gyration"] > 0.9
    assert found["rmsd_in_frame_over_gyration"] == pytest.approx(np.sqrt(2), abs=0.1)


def test_the_more_noise_the_worse():
    steps = [placement_scores(*tissue(200, noise=noise)) for noise in (0.02, 0.1, 0.5, 2.0)]
    for name in SCORES:
        values = [step[name] for step in steps]
        assert values == sorted(values, reverse=name not in RMSDS), name


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_motion_of_the_prediction_changes_only_the_score_in_the_frame(dimensions):
    true, predicted = tissue(dimensions=dimensions)
    before = placement_scores(true, predicted)
    turn = ortho_group.rvs(dimensions, random_state=2)
    turn[:, 0] *= np.sign(np.linalg.det(turn))  # a rotation
    after = placement_scores(true, predicted @ turn.T + 3)
    for name in SCORES:
        assert (after[name] == pytest.approx(before[name], abs=1e-9)) == (name != "rmsd_in_frame_over_gyration"), name
    mirrored = placement_scores(true, predicted * np.array([-1, *[1] * (dimensions - 1)]))
    changed = {name for name in SCORES if mirrored[name] != pytest.approx(before[name], abs=1e-9)}
    assert changed == {"rmsd_over_gyration_without_reflection", "rmsd_in_frame_over_gyration"}


def test_a_scale_of_the_prediction_changes_only_the_rmsds():
    true, predicted = tissue()
    before, after = placement_scores(true, predicted), placement_scores(true, 100 * predicted)
    for name in SCORES:
        assert (after[name] == pytest.approx(before[name], abs=1e-9)) == (name not in RMSDS), name


def test_the_unit_and_the_order_of_the_cells_change_nothing():
    true, predicted = tissue(noise=0.5)
    before = placement_scores(true, predicted)
    order = np.random.default_rng(3).permutation(len(true))
    after = placement_scores(2000 * true[order] + 1e5, 2000 * predicted[order] + 1e5)
    assert after == pytest.approx(before, abs=1e-7)


def test_one_place_for_all_has_the_scores_that_are_documented():
    true, _ = tissue(200)
    found = placement_scores(true, np.full((200, 2), 0.1) + 1e-17)
    contacts = np.ceil(0.1 * 199 * 100) / (199 * 100)
    expected = dict.fromkeys(SCORES[:4], 0.0) | {
        "knn_overlap": 10 / 199,
        "contact_precision": contacts,
        "contact_recall": 1.0,
        "contact_f1": 2 * contacts / (1 + contacts),
        "rmsd_over_gyration": 1.0,
        "rmsd_over_gyration_without_reflection": 1.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-4)
    assert np.isfinite(list(found.values())).all()


def test_ties_are_no_matter_of_order():
    """Ten places with twenty cells each: which ten of twenty are the neighbours is nobody's to choose."""
    true, _ = tissue(200)
    group = np.argsort(np.argsort(true[:, 1])) // 20
    centroids = np.array([true[group == g].mean(axis=0) for g in range(10)])[group]
    found = knn_overlap(true, centroids, 10, np.arange(200))
    order = np.argsort(true[:, 0])  # a file sorted by place
    assert knn_overlap(true[order], centroids[order], 10, np.arange(200)) == pytest.approx(found, abs=1e-12)
    random, drawn = np.random.default_rng(0), []
    for _ in range(20):  # the reference: ties broken at random
        jitter = centroids + 1e-7 * random.normal(size=centroids.shape)
        drawn.append(knn_overlap(true, jitter, 10, np.arange(200)))
    assert np.mean(drawn) == pytest.approx(found, abs=3 * np.std(drawn) / np.sqrt(20) + 0.005)


def test_a_turned_lattice_has_the_neighbours_it_had():
    lattice = np.array(list(itertools.product(range(12), range(12))), float)
    turned = lattice @ ortho_group.rvs(2, random_state=0) * 17.3
    found = placement_scores(lattice, turned * 1.1)
    for name in set(SCORES) - RMSDS:
        assert found[name] == pytest.approx(1, abs=1e-9), name


def test_precision_and_recall_say_different_things():
    true = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert contact_scores(true, true, 0.1)["contact_f1"] == 1
    crowded = np.array([1.0, 1, 1, 4, 5, 6, 7, 8, 9, 10])
    found = contact_scores(true, crowded, 0.1)
    assert found["contact_recall"] == 1
    assert found["contact_precision"] == pytest.approx(1 / 3)
    assert found["contact_f1"] == pytest.approx(1 / 2)
    apart = contact_scores(true, np.full(10, 5.0), 0.1)
    assert set(apart.values()) == {0.0}


def test_of_a_large_section_a_sample_is_scored():
    true, predicted = tissue(1500, noise=0.3)
    whole = placement_scores(true, predicted)
    sampled = placement_scores(true, predicted, max_cells=400, seed=1)
    assert sampled == placement_scores(true, predicted, max_cells=400, seed=1)
    assert sampled != placement_scores(true, predicted, max_cells=400, seed=2)
    assert sampled == pytest.approx(whole, abs=0.05)
    assert {name: sampled[name] for name in RMSDS} == {name: whole[name] for name in RMSDS}


def test_blocks_change_nothing(monkeypatch):
    true, predicted = tissue(100)
    whole = placement_scores(true, predicted)
    monkeypatch.setattr("pipeline.alphastomics.metrics.placement._BLOCK_ENTRIES", 700)
    assert placement_scores(true, predicted) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_neighbours_that_are_searched_for_are_those_among_all_distances(dimensions, monkeypatch):
    true, noisy = tissue(2_500, dimensions)
    rng = np.random.default_rng(0)
    lattice = np.stack(np.unravel_index(np.arange(2_500), (50, 50)), axis=1).astype(float)
    types = rng.normal(size=(8, dimensions))[rng.integers(8, size=2_500)]  # as a centroid of types places cells
    pairs = np.repeat(true[:1_250], 2, axis=0)
    scored = np.sort(rng.choice(2_500, 300, replace=False))
    for left, right in ((true, noisy), (true, true), (lattice, lattice[::-1]), (true, types), (true, pairs)):
        found = knn_overlap(left, right, 10, scored)
        with monkeypatch.context() as patch:
            patch.setattr("pipeline.alphastomics.metrics.placement._SEARCHED", 2_500)
            assert found == pytest.approx(knn_overlap(left, right, 10, scored), rel=1e-12)


def test_what_cannot_be_scored_is_refused():
    true, predicted = tissue()
    with pytest.raises(ValueError, match=r"same cells are needed, got \(60, 2\) and \(59, 2\)"):
        placement_scores(true, predicted[1:])
    with pytest.raises(ValueError, match="11 cells are too few to compare 10 neighbours"):
        placement_scores(true[:11], predicted[:11])
    with pytest.raises(ValueError, match="all true positions are the same"):
        placement_scores(np.full((60, 2), 0.1), predicted)
    for lost in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            placement_scores(true, np.where(np.arange(60)[:, None] == 7, lost, predicted))
