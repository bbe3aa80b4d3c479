"""Figures: what they show, that they are the same every time, and that any name can stand in them."""

import re
import warnings
import xml.etree.ElementTree as ET
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.text import Text

from pipeline.cfm_vc.plots.change import draw_change, slope_of
from pipeline.cfm_vc.plots.embedding import draw_embedding, draw_population
from pipeline.cfm_vc.plots.forest import ForestRow, draw_forest
from pipeline.cfm_vc.plots.quality import draw_histogram
from pipeline.plots.curves import draw_learning_curve
from pipeline.plots.labels import place_labels
from pipeline.plots.ranking import RankingRow, draw_ranking
from pipeline.plots.theme import DARK, LIGHT, picture, shortened
from tests.alphastomics import tissue_figures
from tests.bayes_moe import mixture_figures
from tests.mole import forecast_figures

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(300, 2))
GENES = [f"G{i}" for i in range(40)]
TRUE = RNG.normal(size=40)

RANKING = [
    RankingRow("the ceiling", "ceiling", [0.95, 0.97], 0.96, "0.96"),
    RankingRow("CFM-VC", "model", [0.8, 0.9], 0.85, "0.85"),
    RankingRow("ridge", "baseline", [], None, "undefined"),
    RankingRow("truth", "control", [1.0, 1.0], 1.0, "1.00"),
]
FOREST = {
    "drug in T": [
        ForestRow("CFM-VC", "model", 0.8, 0.7, 0.9, "0.80"),
        ForestRow("ridge", "baseline", None, None, None, "none"),
        ForestRow("split-half", "ceiling", 0.9, None, None, "0.90"),
    ]
}
FIGURES = {
    "ranking": lambda: draw_ranking("Pearson", "higher is better", RANKING, chance=0.5),
    "forest": lambda: draw_forest("Pearson", "higher is better", FOREST),
    "curve": lambda: draw_learning_curve("VAE", [1, 2, 3], [3.0, 2.0, 1.0], [3.1, 2.2, 2.4]),
    "histogram": lambda: draw_histogram("Counts per cell", "counts", [1, 10, 100], [3, 5], [2, 5], 5),
    "embedding": lambda: draw_embedding("Before", CLOUD[:, 0], CLOUD[:, 1], ["B", "T", "NK"] * 100, "PC", True),
    "legend": lambda: draw_embedding(
        "Before", CLOUD[:, 0], CLOUD[:, 1], [f"d{i % 12}" for i in range(300)], "PC", False
    ),
    "population": lambda: draw_population(
        "drug in T",
        dict.fromkeys(("control", "true", "generated"), (CLOUD[:, 0], CLOUD[:, 1])),
        "CFM-VC",
        True,
        ((-4, 4), (-4, 4)),
    ),
    "change": lambda: draw_change(
        "drug in T", TRUE, 0.5 * TRUE, GENES, np.abs(TRUE) > 1, [0, 1, 2], "Pearson 1.00", (-3, 3), True
    ),
    **mixture_figures.FIGURES,
    **tissue_figures.FIGURES,
    **forecast_figures.FIGURES,
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
    drawn = FIGURES["ranking"]()
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


def colours_of(text: str, svg: bytes) -> set[str]:
    """Fills of the words of a figure that read so."""
    found = [e for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text") if e.text == text]
    return {re.search(r"fill: (#\w{6})", e.attrib["style"]).group(1) if "style" in e.attrib else "" for e in found}


@pytest.mark.parametrize("name", ["ranking", "forest"])
def test_the_model_stands_out_and_baselines_do_not(name):
    drawn = FIGURES[name]().light
    assert colours_of("CFM-VC", drawn) == {LIGHT.model}
    assert colours_of("ridge", drawn) == {LIGHT.ink}


def test_a_ranking_has_its_rows_in_the_order_given_and_says_what_is_undefined():
    drawn = FIGURES["ranking"]()
    assert [text for text in texts(drawn.light) if text in {row.label for row in RANKING}] == [
        row.label for row in RANKING
    ]
    assert "ridge undefined" in drawn.alt
    assert "chance" in texts(drawn.light)


def test_the_ceiling_is_marked_in_every_row_that_competes_and_not_in_those_of_controls():
    """Its range is a filled box: one in its own row, and one each in the model's and the baseline's."""
    boxes = FIGURES["ranking"]().light.decode().count("opacity: 0.15")
    assert boxes == 3
    without = draw_ranking("Pearson", "", RANKING[1:]).light.decode()
    assert without.count("opacity: 0.15") == 0


def test_the_slope_is_that_of_least_squares_through_the_origin():
    true, predicted = RNG.normal(size=50), RNG.normal(size=50)
    assert slope_of(true, predicted) == pytest.approx(np.linalg.lstsq(true[:, None], predicted)[0][0])
    assert slope_of(true, 0.4 * true) == pytest.approx(0.4)
    assert slope_of(np.zeros(3), predicted[:3]) is None


def test_a_change_without_any_change_is_drawn():
    """Control mean on a perturbation that does nothing: all dots at the origin, no slope."""
    none = np.zeros(40)
    drawn = draw_change("drug in T", none, none, GENES, np.ones(40, bool), [0], "no effect", (-1, 1), False)
    assert "40 of them marked" in drawn.alt
