"""The report in a real browser: every image shows, nothing is requested, nothing complained about, no page too wide."""

from pathlib import Path

import pytest

from tests.report.devtools import Page
from tests.report.drawn import write_report
from tests.report.simulated_results import CELL_TYPES, write_results

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    """The URL of a report whose labels are as long as labels get."""
    root = tmp_path_factory.mktemp("results")
    long = ["Plasmacytoid_dendritic_cells_" * 4, *CELL_TYPES]
    write_results(root, long, [(long[0], "cytokine"), ("CD19+ B", "inhibitor")])
    (root / "docs/dag.svg").write_bytes(Path("docs/dag.svg").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_report("A title of some length, for a page that is to fit on a phone")
    return (root / "reports/report.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_report_shows_everything_and_loads_nothing(chromium_page: Page, report: str, width: int, scheme: str):
    chromium_page.open(report, width, 900, scheme)
    found = chromium_page.findings(report)
    assert len(found.images) >= 40
    assert found.broken_images == []
    assert all(image["alt"] for image in found.images)
    assert found.requests == []
    assert found.errors == []
    assert found.overflow == 0


def test_the_first_screen_holds_the_answers_of_all_systems(chromium_page: Page, report: str):
    chromium_page.open(report, 1280, 900)
    ends = "[...document.querySelectorAll('.systems article')].map(a => a.getBoundingClientRect().bottom)"
    found = chromium_page.evaluate(ends)
    assert len(found) == 4
    assert max(found) <= 900


def test_light_and_dark_pages_show_different_pictures(chromium_page: Page, report: str):
    shown, background = {}, {}
    for scheme in ("light", "dark"):
        chromium_page.open(report, 1200, 900, scheme)
        shown[scheme] = chromium_page.evaluate("[...document.images].map(i => i.currentSrc)")
        background[scheme] = chromium_page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert all(light != dark for light, dark in zip(shown["light"], shown["dark"], strict=True))
    assert background["light"] != background["dark"]


def test_print_is_light_and_unfolds_what_is_folded(chromium_page: Page, report: str):
    chromium_page.open(report, 700, 900, "dark", media="print")
    assert chromium_page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chromium_page.evaluate("[...document.querySelectorAll('details table')].every(t => t.checkVisibility())")
    chromium_page.open(report, 700, 900)
    assert chromium_page.pdf().startswith(b"%PDF")


BROKEN = {
    "image": '<img src="data:image/svg+xml,not-an-image" alt="broken">',
    "request": '<img src="http://127.0.0.1:9/pixel.png" alt="far">',
    "console": "<script>console.error('complaint')</script>",
    "exception": "<script>throw new Error('thrown')</script>",
    "overflow": '<div style="width: 3000px">wide</div>',
}


@pytest.mark.parametrize("defect", BROKEN)
def test_each_check_finds_its_defect(chromium_page: Page, tmp_path: Path, defect: str):
    """The negative control: a page with one defect is found to have it, so that a sound report means something."""
    path = tmp_path / "page.html"
    path.write_text(f"<!DOCTYPE html><link rel=icon href=data:,><p>page</p>{BROKEN[defect]}", encoding="utf-8")
    chromium_page.open(path.as_uri(), 390, 900)
    found = chromium_page.findings(path.as_uri())
    assert found.broken_images == {"image": ["broken"], "request": ["far"]}.get(defect, [])
    assert found.requests == (["http://127.0.0.1:9/pixel.png"] if defect == "request" else [])
    assert bool(found.errors) == (defect in {"request", "console", "exception"})
    assert bool(found.overflow) == (defect == "overflow")


def test_a_page_without_defects_has_no_findings(chromium_page: Page, tmp_path: Path):
    path = tmp_path / "page.html"
    path.write_text("<!DOCTYPE html><link rel=icon href=data:,><p>page</p>", encoding="utf-8")
    chromium_page.open(path.as_uri(), 390, 900)
    found = chromium_page.findings(path.as_uri())
    assert (found.images, found.requests, found.errors, found.overflow) == ([], [], [], 0)
