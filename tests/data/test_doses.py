import numpy as np
import pytest

from pipeline.data.doses import Doses, one_treatment_each

SCREEN = Doses({"none": {}, "A@1": {"A": 1.0}, "A@100": {"A": 100.0}, "B": {"B": 1.0}, "A+B": {"A": 10.0, "B": 1.0}})


def test_labels_without_doses_are_one_hot_and_the_control_is_zero():
    labels = ["b", "none", "a"]
    matrix = Doses(one_treatment_each(labels, "none")).matrix(labels)
    np.testing.assert_array_equal(matrix, [[0, 1], [0, 0], [1, 0]])


def test_a_combination_is_the_sum_of_its_parts():
    combined = SCREEN.vector({"A": 10.0, "B": 1.0})
    np.testing.assert_array_equal(combined, SCREEN.vector({"A": 10.0}) + SCREEN.vector({"B": 1.0}))
    np.testing.assert_array_equal(SCREEN.matrix(["none", "A+B"]), [[0, 0], combined])


def test_doses_rise_with_their_logarithm_from_nothing_to_one_and_beyond():
    entries = [float(SCREEN.vector({"A": dose})[0]) for dose in (0, 1, 10, 100, 1000)]
    assert entries[0] == 0
    assert entries[3] == 1
    np.testing.assert_allclose(entries, np.log1p([0, 1, 10, 100, 1000]) / np.log(101), rtol=1e-6)


def test_the_unit_of_a_dose_does_not_matter():
    scaled = Doses({label: {t: 1e3 * dose for t, dose in doses.items()} for label, doses in SCREEN.of_label.items()})
    np.testing.assert_allclose(scaled.matrix(list(SCREEN.of_label)), SCREEN.matrix(list(SCREEN.of_label)), rtol=1e-6)


def test_a_treatment_that_was_never_seen_has_no_vector():
    with pytest.raises(KeyError, match="C"):
        SCREEN.vector({"C": 1.0})
