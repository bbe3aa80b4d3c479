import numpy as np
import pytest

from pipeline.data.doses import Doses, label_of, one_treatment_each, treatments_of

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


@pytest.mark.parametrize(
    ("label", "separator", "treatments"),
    [
        ("none", None, []),
        ("none", "+", []),
        ("none+none", "+", []),
        ("A+B", None, ["A+B"]),
        ("B+A", "+", ["A", "B"]),
        (" B +A", "+", ["A", "B"]),
        ("none+A", "+", ["A"]),
        ("A_C_B", "_", ["A", "B", "C"]),
    ],
)
def test_a_label_names_treatments(label, separator, treatments):
    assert treatments_of(label, separator, "none") == treatments


@pytest.mark.parametrize(("label", "problem"), [("A+", "empty"), ("++", "empty"), ("A+B+A", "twice")])
def test_a_label_that_names_none_or_one_twice_is_refused(label, problem):
    with pytest.raises(ValueError, match=problem):
        treatments_of(label, "+", "none")


@pytest.mark.parametrize(
    ("dose", "text"),
    [(10.0, "10"), (0.1, "0.1"), (0.1 + 0.2, "0.30000000000000004"), (1e-9, "1e-09"), (123456789.0, "123456789")],
)
def test_a_dose_is_written_short_and_without_loss(dose, text):
    assert label_of({"B": dose, "A": dose}, "+", "none", with_dose=True) == f"A+B@{text}"
    assert float(text) == dose


def test_labels_without_doses_and_of_nothing():
    assert label_of({"A": 1.0}, None, "none", with_dose=False) == "A"
    assert label_of({}, "+", "none", with_dose=True) == "none"


def test_a_treatment_that_was_never_seen_has_no_vector():
    with pytest.raises(KeyError, match="C"):
        SCREEN.vector({"C": 1.0})
