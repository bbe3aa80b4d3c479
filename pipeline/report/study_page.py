"""The chapter of a study written to its two files: a part of the report, and a page of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.files import write_json, write_text
from pipeline.core.paths import StudyPaths
from pipeline.report.chapter import study_chapter
from pipeline.report.page import Headline, Part, System
from pipeline.report.page_template.page import render
from pipeline.report.provenance import made_by


def write_chapter(
    at: StudyPaths, title: str | None, part: Part, system: System, results: Sequence[str], dataset: Mapping[str, Any]
) -> None:
    """Write both; for the arguments see `pipeline.report.chapter.study_chapter`."""
    chapter = study_chapter(at, title, part, system, results, dataset)
    write_json(at.chapter, chapter.model_dump(mode="json"))
    write_text(at.page, render(f"{chapter.title}", Headline([chapter.system], made_by()), [chapter]))
