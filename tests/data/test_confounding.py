"""Confounding of batch and perturbation: when it is full, how strong it is, and what would undo it."""

import numpy as np
import pytest
from scipy.stats.contingency import association

from pipeline.data.confounding import contingency, cramers_v, fully_confounded, suggest_pattern


def test_contingency_counts_pairs_and_leaves_out_missing_labels():
    first, second = np.int32([0, 0, 1, -1, 2]), np.int32([1, 1, 0, 0, -2])
    np.testing.assert_array_equal(contingency(first, second, (3, 2)), [[0, 2], [1, 0], [0, 0]])


@pytest.mark.parametrize(
    ("table", "confounded"),
    [
        ([[5, 0], [0, 5]], True),
        ([[5, 0], [5, 0], [0, 5]], True),  # several batches per perturbation do not help
        ([[5, 1], [0, 5]], False),  # one cell tells: partial
        ([[5, 5]], False),  # a single batch
        ([[5, 0], [5, 0]], False),  # a single perturbation: another problem
    ],
)
def test_full_confounding_is_one_perturbation_per_batch(table, confounded):
    assert fully_confounded(np.array(table)) is confounded


def test_cramers_v_agrees_with_scipy():
    table = np.random.default_rng(0).integers(1, 50, (4, 3))
    assert cramers_v(table) == pytest.approx(association(table, method="cramer"))


def test_cramers_v_is_0_when_independent_and_1_when_determined():
    assert cramers_v(np.outer([1, 2, 3], [4, 5])) == pytest.approx(0)
    assert cramers_v(np.diag([3, 4, 5])) == pytest.approx(1)
    assert cramers_v(np.array([[3, 4]])) == 0


@pytest.mark.parametrize(
    ("labels", "pattern", "donors"),
    [
        (["ctrl101", "ctrl107", "stim101", "stim107"], r"(\d+)$", ["101", "107"]),
        (["p1_ctrl", "p2_ctrl", "p1_stim", "p2_stim"], r"^([^_]+)_", ["p1", "p2"]),
        (["anna-ctrl", "bert-ctrl", "anna-stim", "bert-stim"], r"^([^-]+)-", ["anna", "bert"]),
        (["ctrl.anna", "ctrl.bert", "stim.anna", "stim.bert"], r"\.([^.]+)$", ["anna", "bert"]),
    ],
)
def test_donors_hidden_in_sample_names_are_found(labels, pattern, donors):
    suggestion = suggest_pattern(labels, np.array([[9, 0], [9, 0], [0, 9], [0, 9]]))
    assert suggestion is not None
    assert (suggestion.pattern, suggestion.labels) == (pattern, donors)


def test_no_pattern_is_suggested_where_none_helps():
    assert suggest_pattern(["plate1", "plate2"], np.array([[9, 0], [0, 9]])) is None
    assert suggest_pattern(["ctrl", "stim"], np.array([[9, 0], [0, 9]])) is None
