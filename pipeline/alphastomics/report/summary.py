"""Tissue in short: its card on the first screen, and its part of RESULTS.md."""

from pipeline.alphastomics.report import chapter as spatial
from pipeline.alphastomics.report.left_out import in_words, tables_of
from pipeline.alphastomics.report.names import MODES, method_named
from pipeline.alphastomics.report.results import Spatial
from pipeline.alphastomics.report.tables import main_table
from pipeline.alphastomics.report.verdict import answer_of, comparisons, counts, lead
from pipeline.report.headline import MOST, number_of, overall, tally
from pipeline.report.markdown import markdown
from pipeline.report.page import System


def card(found: Spatial) -> System:
    """What the first screen says."""
    decisive = [one for of_mode in comparisons(found.board).values() for one in of_mode]
    parts = [
        f"{tally([one for of_mode in comparisons(data.board).values() for one in of_mode])} ({data.name})"
        for data in found.measured
    ]
    return System(
        name="AlphaSTomics",
        question="Does one network find where cells lie, and what is expressed where?",
        answer=answer_of(found),
        standing=overall(decisive),
        model=method_named("model").label,
        rival="best baseline",
        numbers=[number_of(one) for one in decisive[:MOST]],
        simulated=bool(found.dataset["simulated"]),
        elsewhere=f"Measured sections, each held out in turn: {'; '.join(parts)}." if parts else "",
        anchor=spatial.ANCHOR,
    )


def results(found: Spatial) -> list[str]:
    """Both tasks on the pipeline's own tissue, then measured sections, each held out in turn."""
    parts = [f"**{answer_of(found)}** {lead(found)}"]
    parts += [markdown(main_table(found.board, mode)) for mode in MODES]
    for data in found.measured:
        about = data.about["description"].rstrip(".")
        parts += [
            f"### {data.name}, one section left out",
            f"{about}: {counts(data)} {in_words(data)}".rstrip(),
        ]
        parts += [markdown(table) for table in tables_of(data)]
    return parts
