"""Tissue in short: its card on the first screen, and its part of RESULTS.md."""

from pipeline.alphastomics.decisive import MODEL
from pipeline.alphastomics.glossary import EXPR_TO_POS
from pipeline.alphastomics.report import chapter
from pipeline.alphastomics.report.left_out import in_words, tables_of
from pipeline.alphastomics.report.results import Spatial
from pipeline.alphastomics.report.tables import main_table
from pipeline.alphastomics.report.verdict import answer_of, counts, decisive_of, lead
from pipeline.report.headline import MOST, number_of, overall, tally
from pipeline.report.markdown import markdown
from pipeline.report.page import System


def card(found: Spatial) -> System:
    """What the first screen says."""
    decisive = decisive_of(found.boards)
    parts = [f"{tally(decisive_of(data.boards))} ({data.study.name})" for data in found.measured]
    return System(
        name="AlphaSTomics",
        question="Does one network predict positions from expression, and expression from positions?",
        answer=answer_of(found),
        standing=overall(decisive),
        model=found.boards[EXPR_TO_POS].method(MODEL).label,
        rival="best baseline",
        numbers=[number_of(one) for one in decisive[:MOST]],
        simulated=bool(found.dataset["simulated"]),
        elsewhere=f"Measured sections, each held out in turn: {'; '.join(parts)}." if parts else "",
        anchor=chapter.ANCHOR,
    )


def results(found: Spatial) -> list[str]:
    """Both tasks on the run's own tissue, then measured sections, each held out in turn."""
    parts = [f"**{answer_of(found)}** {lead(found)}"]
    parts += [markdown(main_table(board, task)) for task, board in found.boards.items()]
    for data in found.measured:
        parts += [
            f"### {data.study.name}, one section left out",
            f"{data.study.title}: {counts(data)} {in_words(data)}".rstrip(),
        ]
        parts += [markdown(table) for table in tables_of(data)]
    return parts
