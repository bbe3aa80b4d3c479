"""Small pictures: the dark one is what drawing it again would give, and nothing that can be seen is lost."""

import re
import xml.etree.ElementTree as ET
from urllib.parse import unquote

import numpy as np
import pytest

from pipeline.plots import theme
from pipeline.plots.compact import compacted, data_uri, recoloured
from pipeline.plots.heatmap import draw_heatmap
from pipeline.plots.scatter import dense
from pipeline.plots.theme import DARK, LIGHT, SCALES, STEPS, picture, scale_of
from tests.cfm_vc.test_figures import FIGURES

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", FIGURES)
def test_the_dark_picture_is_the_one_that_drawing_it_in_the_dark_gives(name, monkeypatch):
    drawn, render = [], theme.render

    def recorded(draw, scheme, width, height):
        drawn.append((draw, width, height))
        return render(draw, scheme, width, height)

    monkeypatch.setattr(theme, "render", recorded)
    found = FIGURES[name]()
    draw, width, height = drawn[0]
    assert found.dark.decode() == render(draw, DARK, width, height)


def test_no_two_colours_of_the_light_scheme_would_become_the_same_dark_one_by_accident():
    """A colour has one counterpart, in whichever role it stands."""
    pairs = [(getattr(LIGHT, name), getattr(DARK, name)) for name in ("surface", "ink", "muted", "rule")]
    pairs += [(getattr(LIGHT, name), getattr(DARK, name)) for name in ("model", "truth", "baseline")]
    pairs += [*zip(LIGHT.categories + LIGHT.further, DARK.categories + DARK.further, strict=True)]
    for name in SCALES:
        light, dark = (scale_of(scheme, name).colors for scheme in (LIGHT, DARK))
        pairs += zip(light, dark, strict=True)
    of: dict[str, set[str]] = {}
    for light, dark in pairs:
        of.setdefault(light, set()).add(dark)
    assert max(map(len, of.values())) == 1
    assert len(of) >= 19 + 2 * STEPS - 5


def test_colours_are_exchanged_in_tags_and_style_and_nowhere_else():
    path = '<path style="fill: #aaaaaa; stroke: #bbbbbb"/>'
    svg = f"<svg><style>g{{stroke: #aaaaaa}}</style>{path}<text>: #aaaaaa</text></svg>"
    assert recoloured(svg, {"#aaaaaa": "#000001"}) == svg.replace("#aaaaaa", "#000001", 2)


def places(svg: bytes) -> np.ndarray:
    """Where the dots of a picture lie (N, 2), in CSS pixels."""
    paths = [e.attrib["d"] for e in ET.fromstring(svg).iter() if "h0" in e.attrib.get("d", "")]
    return np.array([pair.split(",") for path in paths for pair in re.findall(r"M([-\d.,]+)h0", path)], float)


def slow_places(x, y, axes, height: int) -> np.ndarray:
    """Point by point, as matplotlib has them: from the bottom, in dots of its own."""
    dot = 72 / axes.get_figure().dpi
    return np.array([dot * axes.transData.transform(point) for point in zip(x, y, strict=True)]) * (1, -1) + (0, height)


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_every_point_of_a_cloud_is_drawn_where_a_scatter_would_have_it(alpha):
    x, y = RNG.normal(size=(2, 300))
    colours, kept = [LIGHT.truth, LIGHT.model], []

    def draw(axes, scheme):
        axes.set(xlim=(-5, 5), ylim=(-5, 5))
        dense(axes, x, y, 9, [colours[i % 2] for i in range(300)], alpha)
        kept.append(axes)

    drawn = picture(draw, "")
    found, expected = places(drawn.light), slow_places(x, y, kept[0], drawn.height)
    assert len(found) == 300
    for one in expected:
        assert np.abs(found - one).max(axis=1).min() < 0.0051


def test_later_points_lie_on_earlier_ones():
    """Without transparency the order of the points is that of the paths, colour by colour."""
    drawn = picture(lambda axes, _: dense(axes, *np.zeros((2, 4)), 9, ["#000001", "#000002"] * 2, 1.0), "")
    assert re.findall(r"stroke: (#00000\d)", drawn.light.decode()) == ["#000001", "#000002"]


def test_a_huge_cloud_is_an_image():
    x = RNG.normal(size=20_000)
    drawn = picture(lambda axes, scheme: dense(axes, x, x, 4, scheme.truth, 0.4), "")
    assert b"<image" in drawn.light
    assert drawn.light != drawn.dark


def test_a_field_has_the_colour_of_its_share():
    share_RC = np.array([[0.0, 1.0], [0.5, 1.0]])
    drawn = picture(lambda axes, scheme: draw_heatmap(axes, scheme, share_RC, 0.5), "").light.decode()
    paths = re.findall(r'd="([^"]+)"[^>]*style="fill: (#\w{6})', drawn)
    shares = {colour: path.count("M") for path, colour in paths}
    steps = scale_of(LIGHT, "share").colors
    assert shares == {steps[0]: 1, steps[STEPS // 2]: 1, steps[-1]: 2}


def test_what_cannot_be_seen_is_left_out_and_what_is_referred_to_stays():
    svg = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><style>x</style>
      <g id="patch_1"><path d="M 0 1 L 1 1 z" style="fill: none"/></g>
      <defs><path id="m123" d="M 0 0 L 0.123456 3"/></defs>
      <g id="halo"><use xlink:href="#m123" x="15.600001" y="2"/><text>a  b</text></g></svg>"""
    found = compacted(svg, "serif")
    assert "fill: none" not in found
    assert 'd="M0,0L0.12,3"' in found
    assert found.count("i0") == 2
    assert 'x="15.6"' in found
    assert "<text>a  b</text>" in found
    assert "patch_1" not in found
    assert "font-family: serif" in found


def test_a_data_uri_keeps_every_label():
    svg = """<svg><text style="fill: #aaaaaa; x: 1">it's "a: b; c" &lt;d&gt;</text></svg>"""
    root = ET.fromstring(unquote(data_uri(svg).partition(",")[2]))
    assert root[0].text == """it's "a: b; c" <d>"""
    assert root[0].attrib["style"] == "fill:#aaaaaa;x:1"
