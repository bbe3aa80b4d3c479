"""Estimates from measured cells beside the baselines that they restate, and never from the cells they are of."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.alphastomics.data import near_estimates
from pipeline.alphastomics.data.near_estimates import NewEstimates, TrainingEstimates, measured
from pipeline.alphastomics.data.neighbourhoods import SampledNeighbourhoods
from pipeline.alphastomics.data.standardised import expression_of
from pipeline.alphastomics.model.baselines import Query, Reference, knn, knn_in_space, knn_in_space_same_type, ridge
from pipeline.alphastomics.model.measured_cells import (
    EXPRESSIONS,
    NEAR,
    NEAREST,
    PLACES,
    WIDE,
    CrossFitted,
    MeasuredCells,
)
from pipeline.alphastomics.model.network import Denoised, SpatialConfig
from pipeline.alphastomics.model.objective import Noising
from pipeline.alphastomics.model.spatial_sampler import Given, Sampling, sample
from pipeline.data.columns import UNKNOWN_TYPE
from tests.alphastomics.test_neighbourhoods import section, standard

G, TYPES = 6, 3
BLOCKS = {"test": {"by": "blocks", "share": 0.2}, "blocks_per_side": 4, "margin": 0.2}
SECTIONS = {"test": {"by": "sections", "sections": ["x"]}}


def tissue(cells, seed=0, space=2):
    """Standardised expression that tells the place, positions and cell types."""
    random = np.random.default_rng(seed)
    position_NS = random.uniform(-1.5, 1.5, (cells, space)).astype(np.float32)
    x_NG = np.concatenate([position_NS, random.normal(size=(cells, G - space))], axis=1)
    x_NG = (x_NG + 0.3 * random.normal(size=x_NG.shape)).astype(np.float32)
    return x_NG, position_NS, random.integers(0, TYPES, cells)


@pytest.mark.parametrize("space", [2, 3])
def test_estimates_are_those_of_the_baselines(space):
    known, (x_NG, position_NS, cell_type_N) = tissue(200, space=space), tissue(50, 1, space)
    cells, reference = MeasuredCells.of(*known), Reference(*known)
    query = Query(x_NG, position_NS, cell_type_N, 0)
    places = cells.places(x_NG)
    assert places.shape == (50, len(PLACES), space)
    for number, method in enumerate((ridge, knn)):
        np.testing.assert_allclose(places[:, number], method(reference, query), atol=1e-4)
    found = cells.expressions(position_NS, cell_type_N)
    assert found.shape == (50, len(EXPRESSIONS), G)
    for name, method in (("nearest", knn_in_space), ("nearest_same_type", knn_in_space_same_type)):
        np.testing.assert_allclose(found[:, EXPRESSIONS.index(name)], method(reference, query), atol=1e-5)
    distance_NM = ((position_NS[:, None] - known[1]) ** 2).sum(2)
    expected = known[0][distance_NM.argsort(1)[:, :NEAR]].mean(1)
    np.testing.assert_allclose(found[:, EXPRESSIONS.index("near")], expected, atol=1e-5)


def test_of_an_unknown_type_and_of_few_cells_there_are_estimates_too():
    x_MG, position_MS, _ = tissue(5)
    cells = MeasuredCells.of(x_MG, position_MS, np.array([0, 0, 1, 1, 1]))
    found = cells.expressions(position_MS[:2], np.array([TYPES, 0]))
    np.testing.assert_allclose(found[0, 2], x_MG.mean(0), atol=1e-6)
    np.testing.assert_allclose(found[1, 2], x_MG[:2].mean(0), atol=1e-6)
    np.testing.assert_allclose(cells.places(x_MG)[:, 1], np.tile(position_MS.mean(0), (5, 1)), atol=1e-6)


def test_measured_cells_of_no_known_type_are_not_of_one_type():
    x, position, cell_type = tissue(200)
    unknown = np.where(cell_type == 1, UNKNOWN_TYPE, cell_type)
    cells, new = MeasuredCells.of(x, position, unknown), tissue(20, 1)[1]
    found = cells.expressions(new, np.full(20, UNKNOWN_TYPE))
    np.testing.assert_array_equal(found[:, 2:], found[:, :2])
    means = cells.means(np.full(20, UNKNOWN_TYPE))
    np.testing.assert_array_equal(means[:, 0], means[:, 1])
    typed = cells.expressions(new, np.zeros(20, int)), MeasuredCells.of(x, position, cell_type)
    np.testing.assert_array_equal(typed[0], typed[1].expressions(new, np.zeros(20, int)))  # others are as they were


def test_means_are_of_the_type_and_of_all():
    x, position, cell_type = tissue(200)
    means = MeasuredCells.of(x, position, cell_type).means(np.array([0, 2, 7]))
    expected = [x[cell_type == 0].mean(0), x[cell_type == 2].mean(0), x.mean(0)]
    np.testing.assert_allclose(means[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(means[:, 1], np.tile(x.mean(0), (3, 1)), atol=1e-5)


def test_the_scatter_is_that_of_the_places_of_cells_of_similar_expression():
    x, position, cell_type = tissue(200)
    cells, asked = MeasuredCells.of(x, position, cell_type), tissue(20, 1)[0]
    known, along = (value @ cells.axes_GK - cells.centre_G @ cells.axes_GK for value in (x, asked))
    nearest = ((along[:, None] - known) ** 2).sum(2).argsort(1)[:, :NEAR]
    expected = [((position[rows] - position[rows].mean(0)) ** 2).sum(1).mean() for rows in nearest]
    np.testing.assert_allclose(cells.scatter(asked), expected, rtol=1e-4)


def test_a_fold_is_estimated_without_its_cells_and_those_within_the_margin():
    x_MG, position_MS, cell_type_M = tissue(300)
    fold_M = (position_MS[:, 0] > 0).astype(np.int64)
    margin = 0.3
    found = CrossFitted(x_MG, position_MS, cell_type_M, fold_M, margin)
    left_M = position_MS[:, 0] < 0
    distance_M = np.sqrt(((position_MS[:, None] - position_MS[~left_M]) ** 2).sum(2)).min(1)
    expected = MeasuredCells.of(*(part[left_M & (distance_M >= margin)] for part in (x_MG, position_MS, cell_type_M)))
    right = fold_M == 1
    both = np.array([5, *np.flatnonzero(right)[:4], 6])
    places = found.places(fold_M[both], x_MG[both])
    np.testing.assert_array_equal(places[1:5], expected.places(x_MG[both][1:5]))
    told = found.expressions(fold_M[both], position_MS[both], cell_type_M[both])
    np.testing.assert_allclose(
        told[1:5], expected.expressions(position_MS[both][1:5], cell_type_M[both][1:5]), atol=1e-6
    )
    # the control: whoever is among the measured ones is found again
    itself = MeasuredCells.of(x_MG, position_MS, cell_type_M).expressions(position_MS, cell_type_M)
    within, without = (
        np.square(part[:, 0] - x_MG).mean() for part in (itself, found.expressions(fold_M, position_MS, cell_type_M))
    )
    assert within < 0.95 * without


def test_a_fold_that_leaves_nothing_is_an_error():
    x_MG, position_MS, cell_type_M = tissue(20)
    with pytest.raises(ValueError, match="no cell is left"):
        CrossFitted(x_MG, position_MS, cell_type_M, np.zeros(20, np.int64))


@pytest.mark.parametrize("split", [BLOCKS, SECTIONS], ids=["blocks", "sections"])
def test_a_training_cell_is_estimated_as_a_test_cell_will_be(split):
    """From other sections where sections are held out, from other blocks where blocks are."""
    sections = [section(300, 0), section(250, 1)]
    scale = standard(*sections)
    found = TrainingEstimates(sections, scale, split, 0)
    assert len(measured(sections, scale, 0)[0]) == 550
    for one in sections:
        fold_N = found.fold_of[one.code]
        assert (len(np.unique(fold_N)) == 1) == (split is SECTIONS)
        for fold, cells in found.cross_fitted.without.items():
            here = one.position_NS[fold_N == fold]
            assert not (cells.position_MS[:, None] == here).all(2).any()
    assert len(found.cross_fitted.without) == (2 if split is SECTIONS else 5)


def test_one_section_alone_is_estimated_from_its_other_blocks():
    one = section(300, 0)
    found = TrainingEstimates([one], standard(one), SECTIONS, 0)
    assert len(found.cross_fitted.without) == 5


def test_of_large_data_a_share_is_measured_and_every_cell_estimated(monkeypatch):
    sections = [section(300, 0), section(250, 1)]
    scale, rows = standard(*sections), np.arange(40)
    x_NG = expression_of(sections[0].cells, rows, scale)
    monkeypatch.setattr(near_estimates, "MOST_MEASURED", 200)
    found = TrainingEstimates(sections, scale, BLOCKS, 0)
    assert not found.expressions_of
    kept = measured(sections, scale, 0)
    assert [len(part) for part in kept] == [200] * 3
    assert 60 < (kept[1][:, None] == sections[0].position_NS).all(2).any(1).sum() < 150
    places, told = found(sections[0], rows, x_NG)
    assert np.isfinite(places).all()
    assert np.isfinite(told).all()
    monkeypatch.setattr(near_estimates, "MOST_MEASURED", 549)  # nearly all of them
    every = TrainingEstimates(sections, scale, BLOCKS, 0)(sections[0], rows, x_NG)
    monkeypatch.undo()
    all_of = TrainingEstimates(sections, scale, BLOCKS, 0)(sections[0], rows, x_NG)
    assert np.abs(every[1] - all_of[1]).mean() < 0.2 * np.abs(told - all_of[1]).mean()


def test_minibatches_hold_the_estimates_of_their_cells():
    one = section(100)
    scale = standard(one)
    estimates = NewEstimates(MeasuredCells.of(*measured([one], scale, 0)))
    source = SampledNeighbourhoods([one], scale, 20, 4, 2, torch.device("cpu"), 0, centred=False, estimates=estimates)
    for batch in source.epoch(0):
        for b in range(len(batch)):
            rows = batch.cell_type_BN[b].numpy()  # a cell's number is its type here
            np.testing.assert_array_equal(batch.position_BNS[b].numpy(), one.position_NS[rows])
            places, told = estimates(one, rows, batch.x_BNG[b].numpy())
            np.testing.assert_allclose(batch.near_place_BNKS[b].numpy(), places, atol=1e-5)
            np.testing.assert_allclose(batch.near_x_BNKG[b].numpy(), told, atol=1e-5)
        assert batch.part(1, 1).near_x_BNKG.equal(batch.near_x_BNKG[1:])
    plain = SampledNeighbourhoods([one], scale, 20, 4, 2, torch.device("cpu"), 0)
    assert all(batch.near_place_BNKS is None and batch.part(0, 1).near_x_BNKG is None for batch in plain.epoch(0))


class Repeats(torch.nn.Module):
    """Answers with the first estimate that it is shown."""

    shared_frame = True
    config = SimpleNamespace(genes=G, space=2)

    def forward(self, cells):
        x_BNG = cells.x_BNG if cells.near_x_BNKG is None else cells.near_x_BNKG[:, :, 0]
        position_BNS = cells.position_BNS if cells.near_place_BNKS is None else cells.near_place_BNKS[:, :, 0]
        return Denoised(x_BNG * cells.mask_BN[..., None], position_BNS * cells.mask_BN[..., None], [])


@pytest.mark.parametrize("neighbourhood", [100, 16])
def test_a_section_is_sampled_with_the_estimates_of_its_cells(neighbourhood):
    cells = MeasuredCells.of(*tissue(200))
    x_NG, position_NS, cell_type_N = tissue(50, 1)
    given = Given(*map(torch.from_numpy, (x_NG, position_NS, cell_type_N)), 0, cells)
    for mode in ("expr_to_pos", "pos_to_expr"):
        sampling = Sampling(mode, 2, neighbourhood=neighbourhood)
        found = sample(Repeats(), Noising.of(10, 1.0, 1.0, "x0"), given, sampling, torch.Generator().manual_seed(0))
        if mode == "expr_to_pos":
            np.testing.assert_allclose(found.position_NS.numpy(), cells.places(x_NG)[:, 0], atol=1e-5)
        else:
            expected = cells.expressions(position_NS, cell_type_N)[:, 0]
            np.testing.assert_allclose(found.x_NG.numpy(), expected, atol=1e-5)


def test_a_configuration_shows_estimates_only_in_a_shared_frame():
    sizes = {"genes": 2, "space": 2, "cell_types": 1, "sections": 1, "dimensions": 4, "layers": 1, "heads": 1}
    for orientation, estimates, expected in (("shared", "measured", True), ("free", "measured", False)):
        config = SpatialConfig(**sizes, hidden=2, orientation=orientation, estimates=estimates)
        assert config.shows_estimates is expected
    assert not SpatialConfig(**sizes, hidden=2).shows_estimates


def by_distance(place_S, position_MS, most):
    return np.argsort(((position_MS - place_S) ** 2).sum(1), kind="stable")[:most]


@pytest.mark.parametrize("told", [True, False], ids=["typed", "untyped"])
def test_type_and_place_is_the_mean_of_the_type_plus_what_the_cells_around_differ_by(told):
    """Against a loop over cells and their neighbours; each cell of the type that the measured ones lack is untyped."""
    x_MG, position_MS, type_M = tissue(300)
    _, position_NS, type_N = tissue(20, seed=1)
    type_N = type_N if told else np.full(20, TYPES)
    mean_MG = np.stack([x_MG[type_M == code].mean(0) for code in type_M]) if told else x_MG.mean(0)
    beside_MG = x_MG - mean_MG
    effect_MG = np.stack([beside_MG[by_distance(place, position_MS, WIDE)].mean(0) for place in position_MS])
    expected = [
        (x_MG[type_M == code].mean(0) if told else x_MG.mean(0))
        + effect_MG[by_distance(place, position_MS, NEAREST)].mean(0)
        for place, code in zip(position_NS, type_N, strict=True)
    ]
    found = MeasuredCells.of(x_MG, position_MS, type_M).type_and_place(position_NS, type_N)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_type_and_place_are_told_apart():
    """Expression is the sum of both: ahead of the type's mean, and of near cells of the type, which are few."""
    of_type_TG = np.random.default_rng(0).normal(size=(30, G))

    def made(cells, seed):
        random = np.random.default_rng(seed)
        position_NS, type_N = random.uniform(-1.5, 1.5, (cells, 2)).astype(np.float32), random.integers(0, 30, cells)
        x_NG = of_type_TG[type_N] + np.sin(2 * position_NS[:, :1]) + 0.5 * random.normal(size=(cells, G))
        return x_NG.astype(np.float32), position_NS, type_N

    x_NG, position_NS, type_N = made(200, 2)
    known = MeasuredCells.of(*made(1500, 1))
    error = {
        "both": known.type_and_place(position_NS, type_N),
        "type": known.means(type_N)[:, 0],
        "near": known.expressions(position_NS, type_N)[:, EXPRESSIONS.index("nearest_same_type")],
    }
    error = {name: np.mean((found_NG - x_NG) ** 2) for name, found_NG in error.items()}
    assert error["both"] < 0.9 * min(error["type"], error["near"])
