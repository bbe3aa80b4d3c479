"""RESULTS.md: the first screen as a table, then a section per chapter."""

from collections.abc import Sequence

from pipeline.report.chapter import Chapter
from pipeline.report.markdown import markdown
from pipeline.report.page import Cell, Headline, Table


def results_markdown(first: Headline, chapters: Sequence[Chapter], machine: str) -> str:
    """The text of the file; it has no time stamp, so the same results and machine give the same text."""
    parts = [
        "# Results",
        "Written by the `report` stage; for figures see `reports/report.html`.",
        f"Made on {machine}. Digits can differ on other processors; see the README.",
        f"**{first.simulated}**",
        markdown(_systems(first)),
        *(text for chapter in chapters for text in (f"## {chapter.title}", chapter.results)),
    ]
    return "\n\n".join(parts).replace("\N{NO-BREAK SPACE}", " ") + "\n"


def _systems(first: Headline) -> Table:
    """The first screen as a table: a row per decisive number."""
    rows = []
    for system in first.systems:
        for place, number in enumerate(system.numbers):
            named = [f"{system.name} · {system.study}", system.question, system.answer] if place == 0 else ["", "", ""]
            cells = [number.label, f"{number.ours} ({system.model})", f"{number.rival} ({system.rival})"]
            rows.append([Cell(text) for text in (*named, *cells)])
    header = ["system", "question", "answer", "decisive score", "ours", "to beat"]
    caption = " ".join(system.elsewhere for system in first.systems if system.elsewhere)
    return Table(header, rows, caption, numeric=False)
