"""The page: first screen, table of contents and chapters in one self-contained HTML file."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from pipeline.plots.colours import DARK, LIGHT
from pipeline.report.chapter import Drawn
from pipeline.report.page import Headline
from pipeline.report.templates import template

_HERE = Path(__file__).parent


def render(title: str, headline: Headline, parts: Sequence[Drawn]) -> str:
    """The report as HTML. All text is escaped; the parts already are."""
    style = Markup((_HERE / "style.css").read_text(encoding="utf-8"))  # noqa: S704 - a file of this package
    page = template(_HERE / "page.html.j2")
    return page.render(title=title, headline=headline, parts=parts, style=style, light=LIGHT, dark=DARK)
