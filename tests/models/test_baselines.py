"""Baselines: what each predicts, exactly, on groups small enough to compute by eye."""

import numpy as np
import pytest

from pipeline.data.groups import Moments
from pipeline.models.baselines import BASELINES, Question, control_mean, perturbation_mean

CONTROL, DRUG, OTHER = 0, 1, 2
DOSES = np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32)


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


def question(known, perturbation=DRUG):
    expression = np.array([[0, 1, 4], [2, 1, 1]], dtype=np.float32)
    return Question(
        2,
        perturbation,
        CONTROL,
        np.zeros(2, np.float32) if perturbation == 7 else DOSES[perturbation],
        DOSES,
        None,
        expression,
        100.0,
        known,
    )


def test_control_mean_is_no_effect(known):
    asked = question(known)
    prediction = control_mean(asked)
    np.testing.assert_array_equal(prediction.mean_G, [1, 1, 1])
    np.testing.assert_array_equal(prediction.population_BG, asked.expression_BG)


def test_perturbation_mean_adds_the_mean_change_of_the_other_cell_types(known):
    prediction = perturbation_mean(question(known))  # change +1.5, 0, -2
    np.testing.assert_array_equal(prediction.mean_G, [2.5, 1, 0])  # 1 - 2 is clipped
    np.testing.assert_array_equal(prediction.population_BG, [[1.5, 1, 2], [3.5, 1, 0]])


def test_each_cell_type_counts_once_however_many_cells_it_has(known):
    known[0, DRUG] = Moments(4000, known[0, DRUG].mean_G, known[0, DRUG].squares_G)
    np.testing.assert_array_equal(perturbation_mean(question(known)).mean_G, [2.5, 1, 0])


def test_the_answer_is_not_read_where_it_should_not_be_known(known):
    """The cell type's own perturbed cells never enter, even if someone passes them in."""
    expected = perturbation_mean(question(known)).mean_G
    known[2, DRUG] = moments(50, 50, 50)
    np.testing.assert_array_equal(perturbation_mean(question(known)).mean_G, expected)


def test_a_cell_type_without_controls_says_nothing_about_change(known):
    known[3, DRUG] = moments(50, 50, 50)
    np.testing.assert_array_equal(perturbation_mean(question(known)).mean_G, [2.5, 1, 0])


def test_an_unseen_perturbation_gets_the_mean_of_all_changes(known):
    np.testing.assert_array_equal(perturbation_mean(question(known, perturbation=7)).mean_G, [2.5, 1, 0])


def test_without_any_perturbed_cell_there_is_no_change():
    asked = question({(2, CONTROL): moments(1, 1, 1)})
    np.testing.assert_array_equal(perturbation_mean(asked).mean_G, [1, 1, 1])


@pytest.mark.parametrize("method", BASELINES.values(), ids=BASELINES)
def test_every_baseline_gives_a_population_of_the_cells_it_started_from(known, method):
    asked = question(known)
    prediction = method(asked)
    assert prediction.population_BG.shape == asked.expression_BG.shape
    assert prediction.population_BG.dtype == np.float32
    assert (prediction.population_BG >= 0).all()
