"""Which cells a combination and a calibration are from, and what they are estimated from."""

import numpy as np
import pytest
import torch

from pipeline.alphastomics import out_of_fold
from pipeline.alphastomics.data.near_estimates import TrainingEstimates, measured
from pipeline.alphastomics.data.standardised import expression_of
from pipeline.alphastomics.metrics.alignment import kabsch
from pipeline.alphastomics.model.calibration import Calibration
from pipeline.alphastomics.model.measured_cells import MeasuredCells
from pipeline.alphastomics.model.network import SpatialConfig, SpatialDiffusion
from pipeline.alphastomics.model.objective import Noising
from pipeline.alphastomics.model.spatial_sampler import Sampling
from pipeline.alphastomics.model.tissue_inference import TrainedTissue
from pipeline.training.determinism import initial_weights
from tests.alphastomics.test_neighbourhoods import GENES, section, standard

BLOCKS = {"test": {"by": "blocks", "share": 0.2}, "blocks_per_side": 4, "margin": 0.05}
SECTIONS = {"test": {"by": "sections", "sections": ["x"]}}
TRAIN, VALIDATION = [section(120, 0), section(100, 1)], [section(40, 0), section(30, 1)]
TYPES = 120


def trained(orientation, sections=TRAIN):
    config = SpatialConfig(
        genes=GENES,
        space=2,
        cell_types=TYPES,
        sections=2,
        dimensions=8,
        layers=1,
        heads=2,
        hidden=8,
        orientation=orientation,
        estimates="measured",
    )
    with initial_weights(0):
        model = SpatialDiffusion(config).eval()
    scale = standard(*sections)
    categories = {"cell_type": [f"type {n}" for n in range(TYPES)], "section": ["a", "b"]}
    known = MeasuredCells.of(*measured(sections, scale, 0)) if model.config.shows_estimates else None
    return TrainedTissue(model, Noising.of(100, 1.0, 1.0, "x0"), scale, categories, known)


@pytest.mark.parametrize("split", [BLOCKS, SECTIONS], ids=["blocks", "sections"])
def test_a_cell_is_asked_about_from_other_folds(split):
    model = trained("shared")
    of_training = TrainingEstimates(TRAIN, model.standard, split, 0)
    asked = list(out_of_fold._of_training(model, TRAIN, of_training, 0))
    for one in TRAIN:
        rows = np.concatenate([ask.rows for ask in asked if ask.section is one])
        assert sorted(rows) == list(range(len(one.cells)))  # every training cell, once
    for ask in asked:
        own_NS, known_MS = ask.section.position_NS[ask.rows], ask.trained.measured.position_MS
        assert not (known_MS[:, None] == own_NS).all(-1).any()
    for ask in out_of_fold._of_validation(model, VALIDATION, of_training, 0):
        same = TRAIN[ask.section.code].position_NS
        among = (ask.trained.measured.position_MS[:, None] == same).all(-1).any(1)
        assert among.any() == (split is BLOCKS)  # of held-out sections nothing is measured


def test_of_many_cells_a_share_is_asked_about(monkeypatch):
    monkeypatch.setattr(out_of_fold, "MOST_ASKED", 50)
    model = trained("shared")
    of_training = TrainingEstimates(TRAIN, model.standard, SECTIONS, 0)
    number = sum(len(ask.rows) for ask in out_of_fold._of_training(model, TRAIN, of_training, 0))
    assert 40 <= number <= 50
    assert sum(len(ask.rows) for ask in out_of_fold._of_validation(model, VALIDATION, of_training, 0)) <= 50


def test_a_genes_level_in_the_section_is_not_learned_from():
    """Products of residuals less their mean over the cells: against the definition, and with a gene shifted."""
    model = trained("shared")
    of_training = TrainingEstimates(TRAIN, model.standard, SECTIONS, 0)
    ask = next(out_of_fold._of_validation(model, VALIDATION, of_training, 0))
    found = ask.expression_products(False)
    given = ask._given(False, position_NS=ask.section.position_NS[ask.rows])
    network_NG = ask.trained.network_expression(given, out_of_fold._sampling("pos_to_expr"), ask._seeds(given))
    near_NKG = ask.trained.near_expression(given, torch.arange(len(given)))
    true_NG = expression_of(ask.section.cells, ask.rows, model.standard)
    for gene in range(GENES):
        residual_NK = np.column_stack([network_NG[:, gene], near_NKG[:, :, gene]]) - true_NG[:, [gene]]
        expected = len(residual_NK) * np.cov(residual_NK.T.astype(np.float64), ddof=0)
        np.testing.assert_allclose(found[gene], expected, rtol=1e-4, atol=1e-4)


def test_weights_of_expression_are_from_estimates_that_know_the_section_as_the_network_does(monkeypatch):
    model, asked = trained("shared"), []
    of_training = TrainingEstimates(TRAIN, model.standard, SECTIONS, 0)
    products = out_of_fold.Asked.expression_products

    def noted(one, typed):
        asked.append((one.section.code, one.trained.measured))
        return products(one, typed)

    monkeypatch.setattr(out_of_fold.Asked, "expression_products", noted)
    out_of_fold.fitted(model, TRAIN, VALIDATION, of_training, 0)
    assert [code for code, _ in asked] == [0, 1] * 2  # of every validation section, typed and untyped
    for code, measured_cells in asked:
        own = (measured_cells.position_MS[:, None] == TRAIN[code].position_NS).all(-1).any(1)
        assert own.any()
        assert not own.all()


def test_products_of_residuals_are_the_same_in_blocks(monkeypatch):
    model = trained("shared")
    of_training = TrainingEstimates(TRAIN, model.standard, SECTIONS, 0)
    ask = next(out_of_fold._of_training(model, TRAIN, of_training, 0))
    whole = ask.expression_products(True)
    monkeypatch.setattr(out_of_fold, "_BLOCK", 7)
    np.testing.assert_allclose(ask.expression_products(True), whole, rtol=1e-6)


def test_a_model_in_a_shared_frame_is_combined_and_calibrated_twice_the_same():
    model = trained("shared")
    of_training = TrainingEstimates(TRAIN, model.standard, SECTIONS, 0)
    found = out_of_fold.fitted(model, TRAIN, VALIDATION, of_training, 0)
    assert found == out_of_fold.fitted(model, TRAIN, VALIDATION, of_training, 0)
    for name in ("typed", "untyped"):
        assert len(found["combination"][name]["place"]) == 4
        assert np.shape(found["combination"][name]["expression"]) == (8, GENES)
        assert len(found["calibration"][name]["mean"]) == 5


@pytest.mark.parametrize("split", [BLOCKS, SECTIONS], ids=["blocks", "sections"])
def test_how_hard_validation_cells_are_is_told_by_closed_form_estimates(split):
    """Against a loop over single cells; and training cells as validation cells, of their own folds, are as hard."""
    model = trained("shared")
    of_training = TrainingEstimates(TRAIN, model.standard, split, 0)
    without = of_training.cross_fitted.without

    def squares(one, row, fold):
        near_KS = without[fold].places(expression_of(one.cells, [row], model.standard))[0]
        return ((near_KS - one.position_NS[row]) ** 2).sum(1)

    of_train = [squares(one, row, of_training.fold_of[one.code][row]) for one in TRAIN for row in range(len(one.cells))]
    of_validation = [
        squares(one, row, one.code if split is SECTIONS else list(without)[row % len(without)])
        for one in VALIDATION
        for row in range(len(one.cells))
    ]
    expected = np.sqrt(np.mean(of_train) / np.mean(of_validation))
    found = out_of_fold.difficulty_ratio(model, TRAIN, VALIDATION, of_training, 0)
    assert found == pytest.approx(expected, rel=1e-5)
    if split is SECTIONS:
        assert out_of_fold.difficulty_ratio(model, TRAIN, TRAIN, of_training, 0) == 1


def test_regions_are_as_much_wider_as_the_rest_is_harder_than_the_validation_cells(monkeypatch):
    model = trained("shared")
    of_training = TrainingEstimates(TRAIN, model.standard, SECTIONS, 0)
    radii = []
    for ratio in (1.0, 2.0):
        monkeypatch.setattr(out_of_fold, "difficulty_ratio", lambda *_, ratio=ratio: ratio)
        found = out_of_fold.fitted(model, TRAIN, VALIDATION, of_training, 0)
        calibration = Calibration.from_description(found["calibration"]["untyped"])
        radii.append(calibration.radius(np.ones((3, 5))))
    np.testing.assert_allclose(radii[1], 2 * radii[0], rtol=1e-6)


def test_a_validation_section_of_its_own_takes_turns_with_the_folds():
    model = trained("shared")
    of_training = TrainingEstimates(TRAIN, model.standard, SECTIONS, 0)
    assert np.isfinite(out_of_fold.difficulty_ratio(model, TRAIN, [section(30, 5)], of_training, 0))


def test_without_a_frame_validation_cells_are_placed_and_aligned_with_all_of_their_section():
    model = trained("free")
    both = [out_of_fold._with_all(one, TRAIN) for one in VALIDATION]
    for one, of, rest in zip(both, VALIDATION, TRAIN, strict=True):
        assert one.cells.names.tolist() == [*of.cells.names, *rest.cells.names]
        np.testing.assert_array_equal(one.position_NS, np.concatenate([of.position_NS, rest.position_NS]))
    (ask, _) = out_of_fold._of_validation(model, both, None, 0)
    placed = ask.placed(True)
    features, distance = placed.errors(None)
    aligned = kabsch(placed.network_MS, placed.true_MS, reflection=True).apply(placed.network_MS)
    assert len(features) == 40  # errors are those of validation cells alone
    np.testing.assert_allclose(distance, np.linalg.norm(aligned - both[0].position_NS, axis=1)[:40])
    whole, blocks = (out_of_fold.fitted(model, TRAIN, VALIDATION, None, 0, alike) for alike in (True, False))
    assert whole["calibration"] != blocks["calibration"]


def test_a_free_model_is_calibrated_after_alignment_and_its_draws_turned_onto_the_estimate():
    model = trained("free")
    found = out_of_fold.fitted(model, TRAIN, VALIDATION, None, 0)
    assert found["combination"] == {}
    calibration = {name: Calibration.from_description(of) for name, of in found["calibration"].items()}
    assert len(calibration["typed"].scale.mean_F) == 2
    free = TrainedTissue(model.model, model.noising, model.standard, model.categories, None, None, calibration)
    x_NG = torch.randn(40, GENES, generator=torch.Generator().manual_seed(0))
    given = free.given(40, x_NG.numpy())
    seeds = [torch.Generator().manual_seed(seed) for seed in range(3)]
    placed = free.place(given, Sampling("expr_to_pos", 10), 3, seeds)
    np.testing.assert_allclose(placed.draws_RNS.mean(0), placed.estimate_NS, atol=1e-4)
    radius = calibration["untyped"].radius(
        np.stack([(length := np.linalg.norm(placed.estimate_NS, axis=1)), length**2], 1)
    )
    np.testing.assert_allclose(placed.radius_NL, radius, rtol=1e-4)
