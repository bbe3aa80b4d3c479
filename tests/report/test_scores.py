"""Sentences and numbers on a model and its baselines: never stronger than the numbers."""

import pytest

from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.metrics.scoreboard import Estimate
from pipeline.metrics.verdict import Comparison, standing_of
from pipeline.report.scores import answer, decimals_for, distinct_decimals, joined, shown, signed, verdict

BASELINE = GLOSSARY.method("control_mean", "baseline")


def comparison(name: str, model: float | None, baseline: float | None, half: float = 0.05) -> Comparison:
    """The interval of the difference reaches `half` to either side."""
    metric = GLOSSARY.metric(name)
    if model is None or baseline is None:
        return Comparison(metric, model, BASELINE, baseline, "behind")
    value = model - baseline
    difference = Estimate(value, value - half, value + half)
    return Comparison(metric, model, BASELINE, baseline, standing_of(difference, metric.higher_is_better), difference)


def sentence(pearson: tuple[float, float], distance: tuple[float, float]) -> str:
    found = [comparison("pearson_change", *pearson), comparison("e_distance", *distance)]
    said = f"{answer(found)} {verdict('On the 2 held-out groups', 'CFM-VC', found)}"
    return said.replace("\N{NON-BREAKING HYPHEN}", "-").replace("\N{MINUS SIGN}", "-")


def test_a_model_ahead_in_everything_worked():
    assert sentence((0.9, 0.8), (0.4, 0.6)) == (
        "It worked. On the 2 held-out groups, CFM-VC is ahead of every baseline in Pearson of change (0.900 against "
        "0.800 for control mean; difference +0.100, 95 % interval +0.050 to +0.150) and E-distance (0.400 against "
        "0.600 for control mean; difference -0.200, 95 % interval -0.250 to -0.150)."
    )


def test_a_model_that_loses_is_said_to_lose():
    said = sentence((0.7, 0.8), (0.8, 0.6))
    assert said.startswith("It did not work. ")
    assert "is behind the best baseline in Pearson of change (0.700 against 0.800" in said
    assert "ahead" not in said


def test_a_model_that_wins_one_and_loses_one_worked_in_part():
    said = sentence((0.9, 0.8), (0.8, 0.6))
    assert said.startswith("It worked in part. ")
    assert "ahead of every baseline in Pearson of change" in said
    assert "but behind the best baseline in E-distance" in said


def test_a_model_whose_intervals_hold_0_gains_nothing():
    said = sentence((0.84, 0.8), (0.6, 0.601))
    assert said.startswith("No gain. ")
    assert "level with the best baseline" in said


def test_level_and_behind_together_is_a_failure():
    assert sentence((0.80, 0.8), (0.9, 0.6)).startswith("It did not work. ")


def test_where_there_is_no_interval_none_is_told():
    said = verdict("There", "it", [comparison("mse", None, 0.5)])
    assert said == "There, it is behind the best baseline in MSE (undefined against 0.500 for control mean)."


def test_a_list_in_words():
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize(("value", "expected"), [(0.123, "+0.12"), (-0.123, "\N{MINUS SIGN}0.12"), (0.001, "0.00")])
def test_a_difference_has_its_sign_and_zero_has_none(value, expected):
    assert signed(value, 2) == expected


def test_numbers_keep_three_digits_without_an_exponent():
    assert shown(0.12345) == "0.123"
    assert shown(1234.5) == "1234"
    assert shown(0.00012345) == "0.000123"
    assert shown(-0.5) == "\N{MINUS SIGN}0.500"
    assert shown(-0.0001, 3) == "0.000"
    assert shown(None) == "undefined"
    assert decimals_for([0.5, None, 12.0]) == 1
    assert decimals_for([None, 0.0]) == 3


def test_different_values_do_not_read_the_same():
    assert distinct_decimals([1.03, 1.107, 1.112]) == 3
    assert distinct_decimals([1.03, 1.11, 1.11]) == distinct_decimals([1.03, None, 1.11]) == 2
