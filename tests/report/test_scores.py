"""What may be said of a model beside its baselines: never more than the numbers carry."""

import pytest

from pipeline.report.names import method_of, metric_of
from pipeline.report.scores import answer, compare, decimals_for, joined, shown, standing, verdict

PEARSON, DISTANCE = metric_of("pearson_change"), metric_of("e_distance")
MODEL, CEILING, TRUTH = method_of("cfm_vc", "model"), method_of("split_half", "ceiling"), method_of("truth", "control")
NO_EFFECT, MEAN = method_of("control_mean", "baseline"), method_of("perturbation_mean", "baseline")


def scores(model: dict, baseline: dict, other: dict | None = None) -> dict:
    return {MODEL: model, NO_EFFECT: other or baseline, MEAN: baseline}


def comparison(all_scores: dict, name: str):
    return compare(metric_of(name), {method: values[name] for method, values in all_scores.items()})


def sentence(all_scores: dict, metrics=("pearson_change", "e_distance")) -> str:
    comparisons = [comparison(all_scores, metric) for metric in metrics]
    return f"{answer(comparisons)} {verdict('On the 2 held-out groups', 'CFM-VC', comparisons)}".replace(
        "\N{NON-BREAKING HYPHEN}", "-"
    )


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
    assert comparison(everything, "pearson_change").baseline.name == "perturbation_mean"
    assert comparison(everything, "e_distance").baseline.name == "control_mean"
    assert comparison(everything, "e_distance").standing == "behind"


@pytest.mark.parametrize("apart", [CEILING, TRUTH])
def test_ceilings_and_controls_are_no_rivals(apart):
    everything = {**scores({"mse": 0.2}, {"mse": 0.3}), apart: {"mse": 0.01}}
    assert comparison(everything, "mse").standing == "ahead"


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
    for incomplete in ({NO_EFFECT: 1.0}, {MODEL: 1.0, CEILING: 1.0, TRUTH: 1.0}, {}):
        with pytest.raises(ValueError, match="one model and at least one baseline"):
            compare(PEARSON, incomplete)


def test_names_are_written_for_readers():
    assert metric_of("pearson_change_top50").label == "Pearson top 50"
    assert metric_of("pearson_change_top50").genes == 50
    assert metric_of("pearson_change_top50").title == metric_of("pearson_change_top20").title == "Pearson top n"
    assert metric_of("mse").arrow == "↓"
    assert metric_of("pearson_change").arrow == "↑"
    assert metric_of("discrimination").chance == 0.5
    assert metric_of("some_new_error").label == "some new error"
    assert method_of("neighbour_mean", "baseline").label == "neighbour mean"
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize(
    "name",
    [
        "pearson_change",
        "pearson_change_top100",
        "mse",
        "mae",
        "e_distance",
        "mmd",
        "discrimination",
        "de_overlap_top50",
        "de_direction",
        "wasserstein",
        "wasserstein_top20",
        "truth_pearson_change",
    ],
)
def test_every_metric_has_a_definition_for_the_glossary(name):
    metric = metric_of(name)
    assert metric.definition.endswith(".")
    assert metric.label != name


@pytest.mark.parametrize(
    "name",
    [
        "cfm_vc",
        "control_mean",
        "perturbation_mean",
        "additive_shift",
        "ridge",
        "split_half",
        "truth",
        "shuffled_labels",
    ],
)
def test_every_method_is_explained(name):
    assert method_of(name, "baseline").definition.endswith(".")


def test_numbers_keep_three_digits_without_an_exponent():
    assert shown(0.12345) == "0.123"
    assert shown(1234.5) == "1234"
    assert shown(0.00012345) == "0.000123"
    assert shown(-0.5) == "\N{MINUS SIGN}0.500"
    assert shown(-0.0001, 3) == "0.000"
    assert shown(None) == "undefined"
    assert decimals_for([0.5, None, 12.0]) == 1
    assert decimals_for([None, 0.0]) == 3
