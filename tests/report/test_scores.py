"""What may be said of a model beside its baselines: never more than the numbers carry."""

import pytest

from pipeline.report.scores import answer, compare, decimals_for, method_of, metric_of, shown, standing, verdict

PEARSON, DISTANCE = metric_of("pearson_change"), metric_of("e_distance")


def scores(model: dict, baseline: dict, other: dict | None = None) -> dict:
    return {"cfm_vc": model, "control_mean": other or baseline, "perturbation_mean": baseline}


def sentence(all_scores: dict, metrics=("pearson_change", "e_distance")) -> str:
    comparisons = [compare(all_scores, metric) for metric in metrics]
    return f"{answer(comparisons)} {verdict('CFM-VC', comparisons, 2)}".replace("\N{NON-BREAKING HYPHEN}", "-")


def test_a_model_ahead_in_everything_worked():
    said = sentence(scores({"pearson_change": 0.9, "e_distance": 0.4}, {"pearson_change": 0.8, "e_distance": 0.6}))
    assert said == (
        "It worked. On the 2 held-out groups, CFM-VC is ahead of every baseline in Pearson of change (0.900 against "
        "0.800 for perturbation mean) and E-distance (0.400 against 0.600 for perturbation mean)."
    ).replace("perturbation mean", "control mean")


def test_a_model_that_loses_is_said_to_lose():
    said = sentence(scores({"pearson_change": 0.7, "e_distance": 0.8}, {"pearson_change": 0.8, "e_distance": 0.6}))
    assert said.startswith("It did not work. ")
    assert "is behind the best baseline in Pearson of change (0.700 against 0.800" in said
    assert "ahead" not in said


def test_a_model_that_wins_one_and_loses_one_worked_in_part():
    said = sentence(scores({"pearson_change": 0.9, "e_distance": 0.8}, {"pearson_change": 0.8, "e_distance": 0.6}))
    assert said.startswith("It worked in part. ")
    assert "ahead of every baseline in Pearson of change" in said
    assert "but behind the best baseline in E-distance" in said


def test_a_model_that_only_equals_the_baseline_gains_nothing():
    said = sentence(scores({"pearson_change": 0.805, "e_distance": 0.6}, {"pearson_change": 0.8, "e_distance": 0.601}))
    assert said.startswith("No gain. ")
    assert "level with the best baseline" in said


def test_level_and_behind_together_is_a_failure():
    said = sentence(scores({"pearson_change": 0.80, "e_distance": 0.9}, {"pearson_change": 0.8, "e_distance": 0.6}))
    assert said.startswith("It did not work. ")


def test_the_rival_is_the_best_baseline_of_each_metric():
    everything = scores(
        {"pearson_change": 0.9, "e_distance": 0.5},
        {"pearson_change": 0.8, "e_distance": 0.7},
        other={"pearson_change": 0.0, "e_distance": 0.4},
    )
    assert compare(everything, "pearson_change").baseline.name == "perturbation_mean"
    assert compare(everything, "e_distance").baseline.name == "control_mean"
    assert compare(everything, "e_distance").standing == "behind"


def test_the_ceiling_is_no_rival():
    everything = {**scores({"mse": 0.2}, {"mse": 0.3}), "split_half": {"mse": 0.01}}
    assert compare(everything, "mse").standing == "ahead"


@pytest.mark.parametrize("undefined", [None, float("nan"), float("inf")])
def test_an_undefined_score_of_the_model_is_behind_and_of_a_baseline_no_rival(undefined):
    assert standing(PEARSON, undefined, 0.1) == "behind"
    assert standing(PEARSON, undefined, undefined) == "behind"
    assert standing(PEARSON, 0.1, undefined) == "ahead"


@pytest.mark.parametrize(
    ("metric", "model", "baseline", "expected"),
    [
        (PEARSON, 0.811, 0.8, "ahead"),
        (PEARSON, 0.809, 0.8, "level"),
        (PEARSON, 0.789, 0.8, "behind"),
        (DISTANCE, 0.97, 1.0, "ahead"),
        (DISTANCE, 0.99, 1.0, "level"),
        (DISTANCE, 1.03, 1.0, "behind"),
        (DISTANCE, -0.01, 0.01, "ahead"),
    ],
)
def test_standing(metric, model, baseline, expected):
    assert standing(metric, model, baseline) == expected


def test_a_comparison_needs_a_model_and_a_baseline():
    with pytest.raises(ValueError, match="one model and at least one baseline"):
        compare({"control_mean": {"mse": 1.0}}, "mse")
    with pytest.raises(ValueError, match="one model and at least one baseline"):
        compare({"cfm_vc": {"mse": 1.0}, "split_half": {"mse": 1.0}}, "mse")


def test_names_are_written_for_readers():
    assert metric_of("pearson_change_top50").label == "Pearson, top 50"
    assert metric_of("mse").arrow == "↓"
    assert metric_of("pearson_change").arrow == "↑"
    assert metric_of("some_new_error").label == "some new error"
    assert method_of("ridge_linear").label == "ridge linear"
    assert method_of("ridge_linear").role == "baseline"


def test_numbers_keep_three_digits_without_an_exponent():
    assert shown(0.12345) == "0.123"
    assert shown(1234.5) == "1234"
    assert shown(0.00012345) == "0.000123"
    assert shown(-0.5) == "\N{MINUS SIGN}0.500"
    assert shown(-0.0001, 3) == "0.000"
    assert shown(None) == "undefined"
    assert decimals_for([0.5, None, 12.0]) == 1
    assert decimals_for([None, 0.0]) == 3
