"""Figures of tissue: what they say, and that shapes and colours can be compared between them."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from pipeline.alphastomics.plots.identity_scatter import draw_against, running_quartiles
from pipeline.alphastomics.plots.tissue import MOST_COLOURS, OTHER, Frame, colour_names, draw_expression, draw_tissue
from pipeline.plots.theme import DARK, LIGHT
from tests.alphastomics.tissue_figures import FIGURES, FRAME, LABELS, LEVEL, PLACES, PREDICTED


def texts(svg: bytes) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def legend(svg: bytes) -> dict[str, str]:
    """Colour by name, of a picture's legend."""
    part = svg.decode().partition('id="legend_1"')[2]
    names = re.findall(r"<text [^>]*>([^<]*)</text>", part)
    fills = re.findall(r"<use [^>]*style=\"fill: (#\w{6})", part)
    return dict(zip(names, fills, strict=True))


def test_up_to_twelve_types_have_their_own_colours_and_further_ones_share_grey():
    twelve = [f"t{i:02}" for i in range(12)]
    assert colour_names(twelve) == twelve
    many = [f"t{i:02}" for i in range(20) for _ in range(i + 1)]
    names = colour_names(many)
    assert names == [*(f"t{i:02}" for i in range(9, 20)), OTHER]
    assert len(names) == MOST_COLOURS
    drawn = legend(draw_tissue("", np.tile(PLACES, (2, 1))[: len(many)], many, names, FRAME).light)
    assert list(drawn) == names
    assert len(set(drawn.values())) == MOST_COLOURS
    assert drawn[OTHER] == LIGHT.baseline


def test_a_type_has_the_same_colour_in_both_pictures_whatever_its_share():
    names = colour_names(LABELS)
    whole = draw_tissue("", PLACES, LABELS, names, FRAME)
    part = draw_tissue("", PLACES[:40], ["type 3"] * 40, names, FRAME)
    assert legend(whole.light) == legend(part.light)
    assert set(legend(whole.dark).values()) <= set(DARK.categories)


def test_a_type_that_no_colour_was_kept_for_is_grey_and_in_the_legend():
    drawn = legend(draw_tissue("", PLACES, LABELS, ["type 0"], FRAME).light)
    assert drawn == {"type 0": LIGHT.categories[0], OTHER: LIGHT.baseline}


def test_the_frame_holds_what_was_measured_and_all_but_the_outermost_of_what_was_predicted():
    predicted = PREDICTED.copy()
    predicted[7] = [1e6, 0]
    frame = Frame.around(PLACES, predicted)
    assert frame.outside(PLACES) == 0
    assert frame.outside(predicted) == 1
    assert frame.right < 5000
    drawn = draw_tissue("", predicted, LABELS, colour_names(LABELS), frame)
    assert "1 cell outside" in texts(drawn.light)
    assert "1 lie outside the frame" in drawn.alt
    assert not any("outside" in text for text in texts(FIGURES["tissue"]().light))


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e6])
def test_the_bar_has_a_round_length_that_fits(factor):
    frame = Frame.around(factor * PLACES, factor * PREDICTED)
    drawn = draw_tissue("", factor * PLACES, LABELS, colour_names(LABELS), frame)
    length = next(float(text) for text in texts(drawn.light) if re.fullmatch(r"[\de.+-]+", text))
    assert 0.08 < length / (frame.right - frame.left) <= 0.2
    assert f"{length:e}"[0] in "125"
    with_unit = draw_tissue("", factor * PLACES, LABELS, colour_names(LABELS), frame, "µm")
    assert f"{length:g} µm" in texts(with_unit.light)


def test_a_unit_is_as_long_on_both_axes_whatever_the_shape():
    for shape in ([1.0, 1.0], [10.0, 1.0], [1.0, 10.0]):
        places = np.random.default_rng(0).uniform(size=(50, 2)) * shape
        frame = Frame.around(places, places)
        assert 0.3 * 400 <= frame.height(400) <= 460
        drawn = draw_tissue("", places, ["a"] * 50, ["a"], frame)
        assert drawn.height > frame.height(384)


def test_both_maps_of_a_gene_are_drawn_and_a_constant_one_too():
    drawn = FIGURES["expression"]()
    assert {"measured", "predicted, PCC 0.80", "Best: Cux2"} <= set(texts(drawn.light))
    assert f"measured (from {LEVEL.min():.3g} to {LEVEL.max():.3g})" in drawn.alt
    flat = draw_expression("", "PCC 0.00", PLACES, np.zeros(200), LEVEL, FRAME)
    assert not any("nan" in words for words in (*texts(flat.light), flat.alt))


def test_quartiles_run_with_x():
    x = np.arange(120.0)
    middle, quartiles = running_quartiles(x, 2 * x + 1, bins=4)
    assert middle.tolist() == [14.5, 44.5, 74.5, 104.5]
    np.testing.assert_allclose(quartiles[1], 2 * middle + 1)
    assert (quartiles[0] < quartiles[1]).all()
    assert (quartiles[1] < quartiles[2]).all()


def test_few_dots_have_no_trend_and_stand_out():
    many, few = FIGURES["against"]().light.decode(), draw_against("", ("a", "b"), LEVEL[:20], LEVEL[:20], "").light
    assert many.count("0.25") == 1  # the band's opacity
    assert "0.25" not in few.decode()


def test_differences_say_what_was_subtracted():
    drawn = FIGURES["gains"]()
    assert "with \N{MINUS SIGN} without; above 0 is better" in texts(drawn.light)
    assert "with minus without with 95 % intervals" in drawn.alt
