"""Figures of the mixture of experts: what they say, and that they say it for any number of experts and classes."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from pipeline.bayes_moe.plots.cost import Cost, draw_tradeoff
from pipeline.plots.experts import draw_classes, draw_usage
from pipeline.plots.lines import Line, mean_line
from tests.bayes_moe.mixture_figures import FIGURES


def texts(svg: bytes) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_differences_say_which_side_is_better():
    drawn = FIGURES["differences"]()
    assert "sparse \N{MINUS SIGN} dense; below 0 is better" in texts(drawn.light)
    assert "top 1 -0.02 (-0.03 to -0.01), then +0 (-0.01 to +0.01)" in drawn.alt


def test_an_empty_bin_is_no_point_and_the_fullest_is_in_the_alternative_text():
    drawn = FIGURES["reliability"]()
    assert "90% of the predictions have a confidence near 0.90, and 80% of those are right" in drawn.alt
    assert "nan" not in drawn.light.decode()


def test_usage_is_ranked_within_each_seed():
    """Which expert is the busiest differs between seeds, that one is does not."""
    drawn = draw_usage("Tokens", np.array([[0.9, 0.1], [0.1, 0.9]]))
    assert "from the most used with 90% to the least used with 10.0%; a fair share is 50.0%" in drawn.alt
    assert {"fair", "share", "limit"} <= set(texts(drawn.light))


def test_few_classes_have_names_and_numbers_and_many_neither():
    few = draw_classes("", np.array([[8, 0], [2, 10]]), ["cat", "dog"])
    assert {"cat", "dog", "80", "20", "0", "100"} <= set(texts(few.light))
    many = draw_classes("", np.eye(50, 100, dtype=np.int64), [f"class {k}" for k in range(100)])
    assert "100 classes, grouped by expert" in texts(many.light)
    assert not any(text.startswith("class ") for text in texts(many.light))


def test_a_class_without_tokens_is_drawn():
    assert "nan" not in draw_classes("", np.zeros((2, 2), np.int64), ["a", "b"]).light.decode()


def test_the_mean_goes_as_far_as_all_seeds_do():
    x, mean = mean_line(
        Line("", "model", [(np.array([1.0, 2, 3]), np.array([1.0, 2, 3])), (np.array([1.0, 2]), np.array([3.0, 4]))])
    )
    assert x.tolist() == [1, 2]
    assert mean.tolist() == [2, 3]


@pytest.mark.parametrize("spread", [1.0, 1.1, 5.0, 1e4])
def test_the_axis_of_arithmetic_has_ticks_whatever_it_spans(spread):
    points = [Cost("a", "model", 1e6, 0.9, 0.1), Cost("b", "other", 1e6 * spread, 0.8, None)]
    ticks = [text for text in texts(draw_tradeoff("", "", points).light) if re.fullmatch(r"[\d.]+\s[kMG]", text)]
    assert len(ticks) >= 2
