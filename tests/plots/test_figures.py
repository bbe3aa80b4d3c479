"""Figures: what they show, that they are the same every time, and that any name can stand in them."""

import re
import warnings
import xml.etree.ElementTree as ET
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.text import Text

from pipeline.plots.curves import draw_learning_curve
from pipeline.plots.labels import place_labels
from pipeline.plots.perturbation import ScoreRow, draw_change, draw_embedding, draw_population, draw_scores
from pipeline.plots.quality import draw_histogram
from pipeline.plots.theme import DARK, LIGHT, picture, shortened

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(300, 2))
GENES = [f"G{i}" for i in range(40)]
TRUE = RNG.normal(size=40)

FIGURES = {
    "scores": lambda: draw_scores(
        "Pearson",
        "higher is better",
        [ScoreRow("CFM-VC", "model", [0.8, 0.9], 0.85, "0.85"), ScoreRow("ceiling", "ceiling", [], None, "undefined")],
    ),
    "curve": lambda: draw_learning_curve("VAE", [1, 2, 3], [3.0, 2.0, 1.0], [3.1, 2.2, 2.4]),
    "histogram": lambda: draw_histogram("Counts per cell", "counts", [1, 10, 100], [3, 5], [2, 5], 5),
    "embedding": lambda: draw_embedding("Before", CLOUD[:, 0], CLOUD[:, 1], ["B", "T", "NK"] * 100, "PC", True),
    "legend": lambda: draw_embedding(
        "Before", CLOUD[:, 0], CLOUD[:, 1], [f"d{i % 12}" for i in range(300)], "PC", False
    ),
    "population": lambda: draw_population(
        "drug in T", dict.fromkeys(("control", "true", "generated"), (CLOUD[:, 0], CLOUD[:, 1]))
    ),
    "change": lambda: draw_change("drug in T", TRUE, 0.5 * TRUE, GENES, [0, 1, 2], "Pearson 1.00", (-3, 3)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_the_same_every_time_and_loads_nothing(name):
    first, second = FIGURES[name](), FIGURES[name]()
    assert first == second
    assert first.alt
    assert first.light != first.dark
    for svg in (first.light, first.dark):
        root = ET.fromstring(svg)
        assert float(root.attrib["width"]) == first.width
        assert float(root.attrib["height"]) == first.height
        text = svg.decode()
        assert not re.search(r'href="(?!#|data:)', text)
        assert not re.search(r"\b20\d\d-\d\d-\d\d", text), "a date"


@pytest.mark.parametrize("name", FIGURES)
def test_each_scheme_has_its_own_ink(name):
    drawn = FIGURES[name]()
    assert LIGHT.ink in drawn.light.decode()
    assert DARK.ink in drawn.dark.decode()
    assert LIGHT.ink not in drawn.dark.decode()


def texts(svg: bytes) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", 'a "quoted" & b', "$x^2$", "T\0cell\x1b", "細胞", "_under", "%s {}", ""]
)
def test_any_name_can_stand_in_a_figure(name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's fonts have what matplotlib's lack
        drawn = draw_embedding("Before", CLOUD[:, 0], CLOUD[:, 1], [name] * 300, "PC", True)
    assert [text for text in texts(drawn.light) if text not in ("Before", "PC 1", "PC 2")] == (
        [shortened(name, 22)] if name else []
    )


def test_a_long_name_is_cut_in_the_figure_and_whole_in_its_alternative_text():
    drawn = draw_embedding("Before", CLOUD[:, 0], CLOUD[:, 1], ["x" * 200] * 300, "PC", True)
    assert max(map(len, texts(drawn.light))) <= 22
    assert "x" * 200 in drawn.alt


def test_a_label_has_the_same_colour_whatever_its_share():
    few = draw_embedding("", CLOUD[:, 0], CLOUD[:, 1], ["a"] * 10 + ["b"] * 290, "PC", False).light
    many = draw_embedding("", CLOUD[:, 0], CLOUD[:, 1], ["a"] * 290 + ["b"] * 10, "PC", False).light
    colours = re.compile(r'id="legend_1".*', re.DOTALL)
    fills = [re.findall(r"fill: (#\w{6})", colours.search(svg.decode()).group()) for svg in (few, many)]
    assert fills[0] == fills[1]


def test_a_data_uri_can_stand_in_a_srcset_and_holds_the_figure():
    drawn = FIGURES["scores"]()
    assert not re.search(r"[\s<>\"#]", drawn.light_uri)
    assert ET.fromstring(unquote(drawn.light_uri.partition(",")[2])).tag.endswith("svg")


def test_labels_of_close_points_do_not_lie_on_each_other():
    placed = []

    def draw(axes, theme):
        axes.set(xlim=(0, 1), ylim=(0, 1))
        place_labels(axes, theme, [(0.5, 0.5), (0.51, 0.5), (0.5, 0.51), (0.51, 0.51)], ["ISG15", "IFI6", "MX1", "B2M"])
        figure = axes.get_figure(root=True)
        figure.draw_without_rendering()
        placed.append([Text.get_window_extent(text) for text in axes.texts])  # without the line back to the point

    picture(draw, "")
    boxes = placed[0]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_the_name_of_a_split_group_stands_in_its_larger_part_not_between():
    x = np.concatenate([RNG.normal(-10, 1, 200), RNG.normal(10, 1, 199)])
    drawn = draw_embedding("", x, RNG.normal(size=399), ["a"] * 399, "PC", True)
    label = next(e for e in ET.fromstring(drawn.light).iter("{http://www.w3.org/2000/svg}text") if e.text == "a")
    assert float(label.attrib["x"]) < 0.4 * drawn.width


def test_the_best_epoch_is_the_one_of_the_lowest_validation_loss():
    drawn = FIGURES["curve"]()
    assert "validation, best 2.2 in epoch 2" in texts(drawn.light)
    assert "epoch 2" in drawn.alt


def test_a_first_epoch_far_above_the_rest_does_not_flatten_the_curve_and_is_named():
    losses = [1e6, *np.linspace(3, 2, 30)]
    drawn = draw_learning_curve("VAE", list(range(1, 32)), losses, losses)
    assert any("above the frame: up to 1e+06" in text for text in texts(drawn.light))
