"""What a user may ask for, and what is said where training never saw it."""

import pytest

from pipeline.cfm_vc.data.dose_request import doses_asked, outside_training
from pipeline.core.errors import ExpectedError
from pipeline.data.doses import Doses

KNOWN = Doses({"control": {}, "A@1": {"A": 1.0}, "A@10": {"A": 10.0}, "A+B": {"A": 10.0, "B": 2.0}, "C": {"C": 1.0}})


@pytest.mark.parametrize(
    ("perturbation", "dose", "expected"),
    [
        ("A@1", None, {"A": 1.0}),  # a label means its own doses
        ("A@1", 5, {"A": 5.0}),
        ("A", None, {"A": 10.0}),  # a treatment, its largest dose
        ("A", 0, {"A": 0.0}),
        ("control", None, {}),
        ("A+B", None, {"A": 10.0, "B": 2.0}),
        ("B+A", None, {"A": 10.0, "B": 2.0}),
        ("A+B", {"B": 0.5}, {"A": 10.0, "B": 0.5}),
        ("B+C", None, {"B": 2.0, "C": 1.0}),  # a combination never seen
        ("B+C", {"B": 1, "C": 3}, {"B": 1.0, "C": 3.0}),
    ],
)
def test_what_is_asked_for(perturbation, dose, expected):
    assert doses_asked(KNOWN, perturbation, dose) == expected


@pytest.mark.parametrize(
    ("perturbation", "dose", "message"),
    [
        ("A@100", None, "perturbation 'A@100' is unknown to the model, perhaps 'A@10'; it knows control, A@1, A@10,"),
        ("A+D", None, r"perturbation 'D', in 'A\+D', is unknown"),
        ("B+B", None, "names a treatment twice"),
        ("A+B", 1.0, "one dose for 'A.B', which stands for A, B"),
        ("control", 1.0, "it is the control"),
        ("A", {"B": 1.0}, "a dose of 'B', which 'A' does not contain"),
        ("A", -1.0, "dose of 'A' -1: expected a number from 0 to 1,000,000,000"),
        ("A", float("nan"), "dose of 'A' nan: expected a number from 0 to 1,000,000,000"),
        ("", None, "perturbation '' is unknown"),
    ],
)
def test_what_cannot_be_is_refused(perturbation, dose, message):
    with pytest.raises(ExpectedError, match=message):
        doses_asked(KNOWN, perturbation, dose)


def test_doses_beyond_training_are_allowed_and_told():
    assert outside_training(KNOWN, {"A": 10.0, "B": 2.0}) == []
    assert outside_training(KNOWN, {"A": 20.0, "B": 1.0}) == [
        "dose 20 of A is outside the training range (1 to 10)",
        "dose 1 of B is outside the training range (2)",
    ]


def test_a_treatment_may_have_a_plus_in_its_name():
    known = Doses({"control": {}, "CD4+": {"CD4+": 1.0}})
    assert doses_asked(known, "CD4+", 2.0) == {"CD4+": 2.0}
