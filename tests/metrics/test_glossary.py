"""Metrics and methods as data: numbers in names, directions, what is not known."""

import math

import pytest

from pipeline.cfm_vc.glossary import GLOSSARY as CFM_VC
from tests.metrics.boards import DISTANCE, GLOSSARY, PEARSON, TOP

GLOSSARIES = {"cfm_vc": CFM_VC}


def test_one_entry_stands_for_a_metric_per_number():
    assert (TOP.name, TOP.label, TOP.title, TOP.number) == ("pearson_top5", "Pearson top 5", "Pearson top n", 5)
    assert GLOSSARY.metric("pearson_top20").title == TOP.title
    assert (PEARSON.label, PEARSON.title, PEARSON.number) == ("Pearson", "Pearson", None)


@pytest.mark.parametrize("name", ["pearson_top", "pearson_topx", "xpearson", "mse", ""])
def test_what_is_not_in_it_has_no_metric(name):
    assert name not in GLOSSARY
    with pytest.raises(KeyError, match="is not in the glossary"):
        GLOSSARY.metric(name)


def test_the_direction_decides_which_score_is_best():
    assert PEARSON.best([0.1, None, 0.9]) == 0.9
    assert DISTANCE.best([0.1, None, -0.2]) == -0.2
    assert DISTANCE.best([None]) is None
    assert (PEARSON.arrow, DISTANCE.arrow) == ("↑", "↓")
    assert DISTANCE.direction == "lower is better"


def test_a_method_that_is_not_known_goes_by_its_own_name():
    assert GLOSSARY.method("net", "model").label == "Net"
    assert GLOSSARY.method("my_point", "baseline").label == "my point"


@pytest.mark.parametrize("system", GLOSSARIES)
def test_every_entry_has_a_label_a_definition_and_bounds_in_order(system):
    for metric in GLOSSARIES[system].metrics:
        assert metric.definition.endswith("."), metric.name
        assert metric.label != metric.name
        low, high = metric.bounds
        assert low < high
        assert metric.chance is None or low < metric.chance < high
        assert metric.chance is None or f"{metric.chance:g} is chance" in metric.definition
        assert metric.best_value is None or not metric.higher_is_better  # of its distance, lower is better
        assert not metric.unbiased_distance or (not metric.higher_is_better and math.isinf(low))
    for _, label, definition in GLOSSARIES[system].methods:
        assert label
        assert definition.endswith(".")


def test_directions_and_bounds_of_responses_are_those_of_their_definitions():
    higher = {"pearson_change", "pearson_change_top20", "truth_pearson_change", "discrimination", "de_overlap_top50"}
    higher |= {"de_direction", "r2_weighted"}
    for name in higher:
        assert CFM_VC.metric(name).higher_is_better
    for name in ("mse", "mae", "wmse", "e_distance", "mmd", "wasserstein", "wasserstein_top100"):
        assert not CFM_VC.metric(name).higher_is_better
    assert CFM_VC.metric("slope_change").best_value == 1
    assert CFM_VC.metric("truth_pearson_change").bounds == (-1, 1)
    assert CFM_VC.metric("de_overlap_top20").bounds == CFM_VC.metric("discrimination").bounds == (0, 1)
    assert CFM_VC.metric("wasserstein_top20").bounds == CFM_VC.metric("mse").bounds == (0, math.inf)
    assert CFM_VC.metric("r2_weighted").bounds == (-math.inf, 1)
    assert CFM_VC.metric("e_distance").bounds == (-math.inf, math.inf)
