"""The chapter of a study written to its two files: a part of the report, and a page of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.core.files import write_json, write_text
from pipeline.core.paths import StudyPaths
from pipeline.params.chapter import Chapter
from pipeline.report.chapter import study_chapter
from pipeline.report.page import Headline, Part, System
from pipeline.report.page_template.page import render
from pipeline.report.provenance import made_by
from pipeline.report.settings import study_settings


def write_chapter(
    at: StudyPaths, settings: Chapter, part: Part, system: System, results: Sequence[str], dataset: Mapping[str, Any]
) -> None:
    """Write both, with the study's settings as the last section; see `pipeline.report.chapter.study_chapter`."""
    whole = replace(part, sections=[*part.sections, study_settings(settings, dataset)])
    chapter = study_chapter(at, settings.title, whole, system, results, dataset)
    write_json(at.chapter, chapter.model_dump(mode="json"))
    write_text(at.page, render(f"{chapter.title}", Headline([chapter.system], made_by()), [chapter]))
