"""The page: everything escaped, nothing loaded."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest

from pipeline.plots.theme import picture
from pipeline.report.chapter import draw
from pipeline.report.page import (
    Cell,
    Drawing,
    Facts,
    Figures,
    Headline,
    Notes,
    Number,
    Part,
    Section,
    System,
    Table,
    inline_svg,
)
from pipeline.report.page_template.page import render

HOSTILE = """<script>alert(1)</script>"'&{{ 7*7 }}</style>"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><title>The DAG</title></svg>'


def page(text: str) -> str:
    """A page in which `text` stands everywhere a text can stand."""
    figures = Figures([picture(lambda axes, _: axes.set_title("x"), text)], text)
    number = Number(text, text, text, text)
    system = System(
        text, text, text, "level", text, text, [number], simulated=True, elsewhere=text, anchor="anchor", study=text
    )
    blocks = [
        figures,
        Table([text, text], [[Cell(text, remark=text), Cell(text, best=True, tint=0.5, remark=text)]], text),
        Table([text, text], [[Cell(text), Cell(text)]], text, numeric=False, folded=text),
        Facts([(text, text)]),
        Drawing(inline_svg(SVG), text),
        Notes([text]),
    ]
    return render(text, Headline([system]), [draw(Part(text, [Section(text, "anchor", text, blocks, text)]))])


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "img", "source"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_nested():
    assert Tags(page("plain")).open == []


def test_every_text_is_escaped():
    """The hostile page has the same tags as the plain one, and shows the text as it is."""
    hostile, plain = page(HOSTILE), page("plain")
    assert [tag for tag, _ in Tags(hostile).tags] == [tag for tag, _ in Tags(plain).tags]
    assert "49" not in re.sub(r"data:[^\"]*", "", hostile)
    assert unescape(hostile).count(HOSTILE) == plain.count("plain")


def test_the_page_loads_nothing():
    for tag, attributes in Tags(page("plain")).tags:
        assert tag != "script"
        for name in ("src", "srcset", "href"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#")), attributes
    assert not re.search(r"@import|url\(", page("plain"))


def test_the_first_lines_say_whether_data_is_simulated():
    body = page("plain").partition("<body>")[2]
    text = re.sub(r"<[^>]+>", "", body).strip()
    assert text.split()[:6] == ["plain", "Simulated", "data:", "plain", "·", "plain."]


def test_every_picture_has_a_version_for_each_scheme_and_a_text():
    tags = Tags(page("plain")).tags
    images = [attributes for tag, attributes in tags if tag == "img"]
    sources = [attributes for tag, attributes in tags if tag == "source"]
    assert len(images) == len(sources) == 1
    assert all(image["alt"] == "plain" for image in images)
    assert all("prefers-color-scheme: dark" in source["media"] for source in sources)


@pytest.mark.parametrize(
    ("svg", "problem"),
    [
        ("", "not well-formed"),
        ("<svg", "not well-formed"),
        ("<html/>", "not an SVG"),
        ('<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>', "script"),
        ('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "could execute"),
        ('<svg xmlns="http://www.w3.org/2000/svg"><image href="http://example.org/x.png"/></svg>', "image"),
    ],
)
def test_a_drawing_that_could_run_or_load_something_is_refused(svg, problem):
    with pytest.raises(ValueError, match=problem):
        inline_svg(svg)
