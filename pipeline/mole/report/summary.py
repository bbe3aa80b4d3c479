"""Forecasting in short: its card on the first screen, and its part of RESULTS.md."""

from pipeline.mole.glossary import MSE, label_of
from pipeline.mole.report import chapter as forecasting
from pipeline.mole.report.intervals import intervals_in_words
from pipeline.mole.report.results import Forecasting
from pipeline.mole.report.specialisation import in_words
from pipeline.mole.report.tables import main_table
from pipeline.mole.report.ttnn import agreement_in_words, agreement_table, roofline_table
from pipeline.mole.report.ttnn_results import Inference
from pipeline.mole.report.verdict import (
    answer_of,
    error_decimals,
    on_measured,
    sentences,
    verdict,
    with_spread,
)
from pipeline.report.headline import MOST, overall
from pipeline.report.markdown import markdown
from pipeline.report.origin import made_by_commands
from pipeline.report.page import Number, System
from pipeline.report.scores import joined, shown


def card(found: Forecasting) -> System:
    """What the first screen says."""
    board = found.board
    horizons = board.horizons if len(board.horizons) <= MOST else [*board.horizons[: MOST - 1], board.horizons[-1]]
    numbers = []
    for horizon in horizons:
        one, decimals = board.used(horizon), error_decimals(board, horizon)
        ours = with_spread(board.spread(horizon, board.choices[horizon].preferred), decimals)
        theirs = f"{shown(one.baseline_score, decimals)} {one.baseline.label}"
        numbers.append(Number(f"{MSE.label}, {horizon} steps {MSE.arrow}", ours, theirs, one.standing))
    used = dict.fromkeys(label_of(board.choices[horizon].preferred) for horizon in horizons)
    return System(
        name="MoLE",
        question="Does a mixture of linear experts forecast better than a tuned ridge regression?",
        answer=answer_of(board),
        standing=overall([board.used(horizon) for horizon in board.horizons]),
        model=joined(list(used)),
        rival="best baseline",
        numbers=numbers,
        simulated=bool(found.source["simulated"]),
        elsewhere=on_measured(found),
        anchor=forecasting.ANCHOR,
    )


def results(series: Forecasting, times: Inference | None) -> list[str]:
    """What RESULTS.md says, below the heading of the system."""
    return [*_series(series), *([] if times is None else _inference(times))]


def _series(series: Forecasting) -> list[str]:
    """The simulated series, what the experts are for, and measured ones."""
    words = [said for said in (intervals_in_words(series), in_words(series)) if said]
    said = [f"**{answer_of(series.board)}** {verdict(series)}", markdown(main_table(series.board)), *words]
    for one in series.measured:
        study, board = one.study, one.board
        said += [f"### {study.title}", f"**{answer_of(board)}** {study.description}. {sentences(board)}"]
        said += [made_by_commands(study.about), markdown(main_table(board))]
    return said


def _inference(times: Inference) -> list[str]:
    """What does not depend on the machine: agreement, and the estimate."""
    return [
        "### On Tenstorrent hardware",
        agreement_in_words(times),
        markdown(agreement_table(times)),
        "Estimated, not measured:",
        markdown(roofline_table(times)),
    ]
