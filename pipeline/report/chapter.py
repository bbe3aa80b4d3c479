"""A chapter: the part of the report on one system, rendered by its own stage to one file.

The file is an output that DVC tracks by hash; its HTML, escaped when rendered, goes into the page unchanged.
"""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.core.files import write_json
from pipeline.core.paths import SystemPaths
from pipeline.report.page import Part, System
from pipeline.report.reading import malformed, missing, stage
from pipeline.report.templates import template

_SECTIONS = Path(__file__).with_name("sections.html.j2")


class Drawn(BaseModel):
    """A rendered part of the page: its sections as HTML, with titles and anchors for the table of contents."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: str
    contents: tuple[tuple[str, str], ...]
    sections: str

    @property
    def html(self) -> Markup:
        return Markup(self.sections)  # noqa: S704 - from our own template, which escapes


class Chapter(Drawn):
    """A part of the page with its card on the first screen and its section in RESULTS.md."""

    system: System
    results: str  # Markdown below the system's heading


def draw(part: Part) -> Drawn:
    """The sections of a part as HTML."""
    contents = tuple((section.title, section.anchor) for section in part.sections)
    return Drawn(title=part.title, contents=contents, sections=template(_SECTIONS).render(sections=part.sections))


def write_chapter(paths: SystemPaths, part: Part, system: System, results: Sequence[str]) -> None:
    """Write reports/chapters/<system>.json. results: paragraphs and tables in Markdown, for RESULTS.md."""
    drawn = draw(part)
    chapter = Chapter(**drawn.model_dump(), system=system, results="\n\n".join(results))
    write_json(paths.chapter, chapter.model_dump(mode="json"))


def read_chapter(system: str) -> Chapter:
    """Read the output of `write_chapter`; ExpectedError, naming the stage, if the file is missing or damaged."""
    path, maker = SystemPaths(system).chapter, stage(f"chapter@{system}")
    try:
        return Chapter.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise missing(path, maker) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise malformed(path, maker, f"not a chapter: {where + ': ' if where else ''}{first['msg']}") from error
