"""The page of a study alone, and its chapter, whose names tell it from other studies of its system."""

import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.params.chapter import Chapter
from pipeline.report.chapter import read_chapter, study_chapter
from pipeline.report.page import Cell, Facts, Part, Section, System, Table
from pipeline.report.settings import study_settings
from pipeline.report.study_page import write_chapter

HOSTILE = """<script>alert(1)</script>"'& {{ 7*7 }}"""
CARD = System("Toy", "Does it?", "It worked.", "ahead", "us", "them", [], True, "", "scores")
PART = Part(
    "Toy: how it went",
    [
        Section("Scores", "scores", "The lead.", [Table(["a", "b"], [[Cell("x"), Cell("y")]], "")]),
        Section("Facts", "facts", "", [Facts([("key", "value")])]),
    ],
)
DATASET = {"description": "cells of two donors", "input_sha256": "a" * 64}


@pytest.fixture
def at(tmp_path, monkeypatch) -> StudyPaths:
    monkeypatch.chdir(tmp_path)
    return StudyPaths("toy", "mine")


def write(at: StudyPaths, title: str | None = None, **settings: Any) -> None:
    write_chapter(at, Chapter(title=title, **settings), PART, CARD, ["first", "second"], DATASET)


def test_the_chapter_is_read_as_it_was_written(at):
    write(at)
    whole = replace(PART, sections=[*PART.sections, study_settings(Chapter(), DATASET)])
    expected = study_chapter(at, None, whole, CARD, ["first", "second"], DATASET)
    assert read_chapter(at) == expected
    assert expected.title == "Toy · mine: how it went"
    assert expected.contents == (
        ("Scores", "mine-scores"),
        ("Facts", "mine-facts"),
        ("Data and settings", "mine-settings"),
    )
    assert (expected.system.study, expected.system.anchor) == ("mine", "mine-scores")
    assert (expected.results, expected.data) == ("first\n\nsecond", "cells of two donors")
    assert expected.input_sha256 == "a" * 64


def test_a_page_has_the_study_and_its_answer_alone_and_loads_nothing(at):
    write(at, "Two donors")
    assert at.page.as_posix() == "reports/pages/toy-mine.html"
    html = at.page.read_text()
    assert re.findall(r'<h2 class="part">(.*?)</h2>', html) == ["Toy · Two donors: how it went"]
    assert read_chapter(at).sections in html
    assert re.findall(r'class="answer">(.*?)<', html) == ["It worked."]
    assert "Simulated data: Toy · Two donors." in unescape(html)
    assert re.findall(r'<section id="([^"]+)">', html) == ["mine-scores", "mine-facts", "mine-settings"]
    assert all(f'id="{anchor}"' in html for anchor in re.findall(r'href="#([^"]+)"', html))
    assert not re.search(r"<script|@import|url\(|https?://(?!www\.w3\.org)", html)


def test_pages_of_two_studies_differ_in_their_names_alone(at):
    other = StudyPaths("toy", "other")
    write(at)
    write(other)
    assert at.page != other.page
    assert at.page.read_text().replace("mine", "other") == other.page.read_text()


def test_the_same_study_gives_the_same_bytes(at):
    write(at)
    first = at.chapter.read_bytes(), at.page.read_bytes()
    write(at)
    assert (at.chapter.read_bytes(), at.page.read_bytes()) == first


def test_a_title_is_text_whatever_it_holds(at):
    write(at, HOSTILE)
    html = at.page.read_text()
    assert "<script" not in html
    assert "49" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    assert f"Toy · {HOSTILE}: how it went" in unescape(html)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "not found: `dvc repro chapter@toy-mine` makes it"),
        (lambda path: path.write_text("{"), "`dvc repro --force chapter@toy-mine` makes it anew"),
        (lambda path: path.write_text("{}"), "not a chapter: "),
    ],
)
def test_a_chapter_that_cannot_be_read_names_the_stage_of_its_study(at, damage, words):
    write(at)
    damage(at.chapter)
    with pytest.raises(ExpectedError) as caught:
        read_chapter(at)
    assert str(caught.value).startswith("reports/chapters/toy/mine.json")
    assert words in str(caught.value)
