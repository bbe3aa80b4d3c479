"""Baselines: what each predicts, exactly, on groups small enough to compute by eye."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.model.additive import additive_change
from pipeline.cfm_vc.model.baselines import (
    BASELINES,
    Ridge,
    additive_shift,
    contexts,
    control_mean,
    features,
    perturbation_mean,
    shuffled_labels,
)
from pipeline.cfm_vc.model.question import Question
from pipeline.nn.ridge import PENALTIES, choose_penalty, fit_ridge

CONTROL, DRUG, OTHER, BOTH, LESS = 0, 1, 2, 3, 4
UNSEEN = 7
DOSES = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0]], dtype=np.float32)
SOME_CELLS = np.array([[3, 0, 1], [0, 0, 2], [1, 1, 1]], dtype=np.float32)


def moments(*means):
    return Moments(4, np.array(means, dtype=float), np.zeros(len(means)))


@pytest.fixture
def known():
    """Cell type 2 is the one asked about: only its controls are known, and another perturbation."""
    return {
        (0, CONTROL): moments(1, 1, 1),
        (0, DRUG): moments(3, 1, 0),  # change +2, 0, -1
        (1, CONTROL): moments(0, 2, 3),
        (1, DRUG): moments(1, 2, 0),  # change +1, 0, -3
        (2, CONTROL): moments(1, 1, 1),
        (2, OTHER): moments(9, 9, 9),
    }


def question(known, perturbation=DRUG, cell_type=2):
    expression = np.array([[0, 1, 4], [2, 1, 1]], dtype=np.float32)
    p_P = np.zeros(2, np.float32) if perturbation == UNSEEN else DOSES[perturbation]
    return Question(
        cell_type, perturbation, CONTROL, p_P, DOSES, None, expression, 100.0, known, perturbed_BG=SOME_CELLS
    )


def test_control_mean_is_no_effect(known):
    asked = question(known)
    prediction = control_mean(asked)
    np.testing.assert_array_equal(prediction.mean_G, [1, 1, 1])
    np.testing.assert_array_equal(prediction.population_BG, asked.expression_BG)


def test_additive_shift_adds_the_mean_change_of_the_other_cell_types(known):
    prediction = additive_shift(question(known))  # change +1.5, 0, -2
    np.testing.assert_array_equal(prediction.mean_G, [2.5, 1, 0])  # 1 - 2 is clipped
    np.testing.assert_array_equal(prediction.population_BG, [[1.5, 1, 2], [3.5, 1, 0]])


def test_each_cell_type_counts_once_however_many_cells_it_has(known):
    known[0, DRUG] = Moments(4000, known[0, DRUG].mean_G, known[0, DRUG].squares_G)
    np.testing.assert_array_equal(additive_shift(question(known)).mean_G, [2.5, 1, 0])


def test_the_answer_is_not_read_where_it_should_not_be_known(known):
    """The cell type's own perturbed cells never enter, even if someone passes them in."""
    expected = additive_shift(question(known)).mean_G
    known[2, DRUG] = moments(50, 50, 50)
    np.testing.assert_array_equal(additive_shift(question(known)).mean_G, expected)


def test_a_cell_type_without_controls_says_nothing_about_change(known):
    known[3, DRUG] = moments(50, 50, 50)
    np.testing.assert_array_equal(additive_shift(question(known)).mean_G, [2.5, 1, 0])


def test_perturbation_mean_is_the_mean_of_the_perturbed_cells_themselves(known):
    """Not added to these controls: the context plays no part."""
    prediction = perturbation_mean(question(known))
    np.testing.assert_array_equal(prediction.mean_G, [2, 1.5, 0])
    np.testing.assert_array_equal(prediction.population_BG, SOME_CELLS)
    known[2, CONTROL] = moments(7, 7, 7)
    np.testing.assert_array_equal(perturbation_mean(question(known)).mean_G, [2, 1.5, 0])


def test_perturbation_mean_of_an_unseen_perturbation_is_over_the_others_of_the_cell_type_then_over_all(known):
    np.testing.assert_array_equal(perturbation_mean(question(known, UNSEEN)).mean_G, [9, 9, 9])
    del known[2, OTHER]
    np.testing.assert_array_equal(perturbation_mean(question(known, UNSEEN)).mean_G, [2, 1.5, 0])


def test_perturbation_mean_needs_the_cells_it_is_about(known):
    with pytest.raises(ValueError, match="brings no perturbed cells"):
        perturbation_mean(replace(question(known), perturbed_BG=None))


def test_the_changes_of_an_unseen_combination_add_up(known):
    """DRUG from the other cell types, +1.5, 0, -2; OTHER from this cell type itself, +8 each."""
    np.testing.assert_array_equal(additive_change(question(known, BOTH)), [9.5, 8, 6])


def test_a_treatment_never_seen_alone_adds_nothing_to_a_combination(known):
    del known[2, OTHER]
    np.testing.assert_array_equal(additive_change(question(known, BOTH)), [1.5, 0, -2])


def test_a_combination_seen_in_other_cell_types_is_taken_as_a_whole(known):
    known[0, BOTH] = moments(1, 2, 3)
    np.testing.assert_array_equal(additive_change(question(known, BOTH)), [0, 1, 2])


def test_a_dose_between_known_ones_lies_on_the_line_between_them(known):
    np.testing.assert_array_equal(additive_change(question(known, LESS)), [0.75, 0, -1])  # half of the full dose
    known[2, LESS] = moments(5, 1, 1)  # change +4, 0, 0
    asked = replace(question(known, UNSEEN), p_P=np.array([0.75, 0], np.float32))
    np.testing.assert_array_equal(additive_change(asked), [2.75, 0, -1])
    beyond = replace(question(known, UNSEEN), p_P=np.array([1.5, 0], np.float32))
    np.testing.assert_array_equal(additive_change(beyond), [1.5, 0, -2])


def test_a_perturbation_of_unknown_treatments_gets_the_mean_change_of_the_cell_types_others_then_of_all(known):
    np.testing.assert_array_equal(additive_change(question(known, UNSEEN)), [8, 8, 8])
    del known[2, OTHER]
    np.testing.assert_array_equal(additive_change(question(known, UNSEEN)), [1.5, 0, -2])


@pytest.mark.parametrize("method", BASELINES.values(), ids=BASELINES)
def test_without_any_perturbed_cell_there_is_no_change(method):
    np.testing.assert_array_equal(method(question({(2, CONTROL): moments(1, 1, 1)})).mean_G, [1, 1, 1])


def test_shuffled_labels_shift_the_true_controls_by_what_the_shuffled_groups_say(known):
    shuffled = {**known, (0, DRUG): moments(1, 1, 1.5), (1, DRUG): moments(0, 2, 3)}
    prediction = shuffled_labels(shuffled)(question({**known, (2, CONTROL): moments(2, 2, 2)}))
    np.testing.assert_array_equal(prediction.mean_G, [2, 2, 2.25])
    np.testing.assert_array_equal(prediction.population_BG, [[0, 1, 4.25], [2, 1, 1.25]])


def many_groups(noise, cell_types=6, genes=5):
    """Effects of two drugs that depend linearly on what sets the cell types' controls apart, and their combination."""
    random = np.random.default_rng(0)
    axis_G, shared_PG, specific_PG = random.normal(size=genes), *random.normal(size=(2, 2, genes))
    found = {}
    for cell_type, place in enumerate(np.linspace(-1, 1, cell_types)):
        control_G = 20 + place * axis_G
        for label in (CONTROL, DRUG, OTHER, BOTH):
            change_G = DOSES[label] @ (shared_PG + place * specific_PG)
            found[cell_type, label] = moments(*(control_G + change_G + random.normal(scale=noise, size=genes)))
    return found


def test_ridge_learns_an_effect_that_depends_on_the_context_where_the_mean_cannot():
    known = many_groups(noise=0)
    truth_G = known.pop((5, DRUG)).mean_G
    errors = {
        name: np.abs(method(question_of(known, 5, DRUG)).mean_G - truth_G).max()
        for name, method in {"ridge": Ridge(), "additive_shift": additive_shift}.items()
    }
    assert errors["ridge"] < 0.02
    assert errors["additive_shift"] > 1


def test_ridge_predicts_an_unseen_combination_from_its_parts():
    known = many_groups(noise=0)
    truth_G = known[3, BOTH].mean_G
    parts = {group: value for group, value in known.items() if group[1] != BOTH}
    assert np.abs(Ridge()(question_of(parts, 3, BOTH)).mean_G - truth_G).max() < 0.02


def test_ridge_is_that_of_scikit_learn_with_the_penalty_that_leaving_contexts_out_chooses():
    known = many_groups(noise=1.0)
    del known[5, DRUG]
    context = contexts(known, CONTROL)
    groups = list(known)
    x = np.stack([features(DOSES[label], context[cell_type]) for cell_type, label in groups])
    y = np.stack([known[group].mean_G - known[group[0], CONTROL].mean_G for group in groups])

    def error(penalty):
        total = 0.0
        for left_out in range(6):
            rows = np.array([cell_type == left_out for cell_type, _ in groups])
            total += np.sum((SklearnRidge(penalty).fit(x[~rows], y[~rows]).predict(x[rows]) - y[rows]) ** 2)
        return total

    penalty = min(PENALTIES, key=error)
    assert penalty not in (PENALTIES[0], PENALTIES[-1])  # else the choice would be no choice
    expected = SklearnRidge(penalty).fit(x, y).predict(features(DOSES[DRUG], context[5])[None])[0]
    mean_G = known[5, CONTROL].mean_G + expected
    np.testing.assert_allclose(Ridge()(question_of(known, 5, DRUG)).mean_G, mean_G, rtol=1e-9)


def test_ridge_never_reads_the_group_asked_for_and_its_memory_changes_nothing():
    known = many_groups(noise=0.5)
    without = {group: value for group, value in known.items() if group != (5, DRUG)}
    ridge = Ridge()
    expected = Ridge()(question_of(without, 5, DRUG)).mean_G
    np.testing.assert_array_equal(ridge(question_of(known, 5, DRUG)).mean_G, expected)
    assert np.abs(ridge(question_of(many_groups(noise=2.0), 5, DRUG)).mean_G - expected).max() > 0.1
    np.testing.assert_array_equal(ridge(question_of(without, 5, DRUG)).mean_G, expected)


@pytest.mark.parametrize("rows", [3, 40])  # fewer rows than features, and more
def test_the_closed_form_is_that_of_scikit_learn(rows):
    random = np.random.default_rng(rows)
    x, y = random.normal(size=(rows, 8)) + 3, random.normal(size=(rows, 4)) - 2
    expected = SklearnRidge(0.7).fit(x, y)
    np.testing.assert_allclose(fit_ridge(x, y, 0.7)(x[:2]), expected.predict(x[:2]), rtol=1e-9)


def test_pure_noise_asks_for_the_strongest_penalty_and_an_exact_line_for_the_weakest():
    random = np.random.default_rng(0)
    x, folds = random.normal(size=(60, 3)), np.repeat(np.arange(6), 10)
    assert choose_penalty(x, random.normal(size=(60, 200)), folds) == PENALTIES[0]
    assert choose_penalty(x, x @ random.normal(size=(3, 200)), folds) == PENALTIES[-1]
    assert choose_penalty(x, x, np.zeros(60, np.int64)) == PENALTIES[0]


def test_one_cell_type_is_enough_for_every_baseline():
    known = {(0, CONTROL): moments(1, 1, 1), (0, DRUG): moments(3, 1, 0), (0, OTHER): moments(1, 2, 1)}
    for method in BASELINES.values():
        assert np.isfinite(method(question(known, BOTH, cell_type=0)).mean_G).all()
    np.testing.assert_array_equal(additive_shift(question(known, BOTH, cell_type=0)).mean_G, [3, 2, 0])


@pytest.mark.parametrize("method", BASELINES.values(), ids=BASELINES)
def test_every_baseline_gives_a_population_of_cells(known, method):
    asked = question(known)
    prediction = method(asked)
    assert prediction.population_BG.shape[1] == asked.expression_BG.shape[1]
    assert len(prediction.population_BG) >= 2
    assert prediction.population_BG.dtype == np.float32
    assert (prediction.population_BG >= 0).all()
    assert (prediction.mean_G >= 0).all()


def question_of(known, cell_type, perturbation):
    genes = len(known[cell_type, CONTROL].mean_G)
    asked = question(known, perturbation, cell_type)
    return replace(asked, expression_BG=np.full((2, genes), 20, np.float32), perturbed_BG=None)
