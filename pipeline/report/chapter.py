"""A chapter: the part of the report on one study of a system, rendered by its own stage to one file.

The file is an output that DVC tracks by hash; its HTML, escaped when rendered, goes into the page unchanged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.core.paths import StudyPaths
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

    study: str
    system: System
    results: str  # Markdown below the heading of the study
    data: str  # what it is about
    input_sha256: str | None  # of a single file


def draw(part: Part) -> Drawn:
    """The sections of a part as HTML."""
    contents = tuple((section.title, section.anchor) for section in part.sections)
    return Drawn(title=part.title, contents=contents, sections=template(_SECTIONS).render(sections=part.sections))


def study_chapter(
    at: StudyPaths, title: str | None, part: Part, system: System, results: Sequence[str], dataset: Mapping[str, Any]
) -> Chapter:
    """The chapter of a study. Its heading and anchors hold the study's name, as a system may have several.

    title: of the study; results: paragraphs and tables in Markdown, for RESULTS.md; dataset: the study's dataset.json
    or source.json.
    """
    name, _, about = part.title.partition(":")
    heading = f"{name} · {title or at.study}:{about}"
    sections = [replace(section, anchor=f"{at.study}-{section.anchor}") for section in part.sections]
    return Chapter(
        **draw(Part(heading, sections)).model_dump(),
        study=at.study,
        system=replace(system, study=title or at.study, anchor=f"{at.study}-{system.anchor}"),
        results="\n\n".join(results),
        data=dataset["description"],
        input_sha256=dataset.get("input_sha256"),
    )


def read_chapter(at: StudyPaths) -> Chapter:
    """Read the chapter of a study; ExpectedError, naming the stage, if the file is missing or damaged."""
    path, maker = at.chapter, stage(f"chapter@{at.system}-{at.study}")
    try:
        return Chapter.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise missing(path, maker) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise malformed(path, maker, f"not a chapter: {where + ': ' if where else ''}{first['msg']}") from error
