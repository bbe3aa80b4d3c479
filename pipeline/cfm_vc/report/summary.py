"""Summary: the card on the first screen, and the section in RESULTS.md."""

from collections.abc import Sequence

from pipeline.cfm_vc.decisive import key_metrics
from pipeline.cfm_vc.report import against_baselines
from pipeline.cfm_vc.report.results import LeaveOneOut, PerturbationResults, Trained
from pipeline.cfm_vc.report.training import ANCHOR
from pipeline.cfm_vc.report.verdict import answer_of, comparisons, lead
from pipeline.report.headline import number_of, overall, tally
from pipeline.report.leaderboard import left_out, method_table
from pipeline.report.markdown import markdown
from pipeline.report.page import System
from pipeline.report.uncertainty import beside_scores


def card(results: PerturbationResults, measured: Sequence[LeaveOneOut]) -> System:
    """The card on the first screen."""
    found = comparisons(results.board)
    return System(
        name="CFM-VC",
        question="Does it predict responses in cell types not seen under treatment?",
        answer=answer_of(results),
        standing=overall(found),
        model=results.board.model.label,
        rival="best baseline",
        numbers=[number_of(one) for one in found],
        simulated=bool(results.dataset["simulated"]),
        elsewhere=" ".join(_elsewhere(one) for one in measured),
        anchor=against_baselines.ANCHOR,
    )


def card_of_training(trained: Trained) -> System:
    """The card of a study that holds nothing out."""
    return System(
        name="CFM-VC",
        question="What does a perturbation do to a cell?",
        answer="Trained, not evaluated: the study holds no cells out",
        standing="level",
        model="",
        rival="",
        numbers=[],
        simulated=bool(trained.dataset["simulated"]),
        elsewhere="",
        anchor=ANCHOR,
    )


def results(found: PerturbationResults) -> list[str]:
    """The section in RESULTS.md, below its heading."""
    board = found.board
    groups = len(board.units)
    what = "Scores on the held-out group" if groups == 1 else f"Means over {groups} held-out groups"
    caption = f"{what}{beside_scores(board)}; the first row is the model. {left_out(board)}".rstrip()
    return [f"**{answer_of(found)}** {lead(found)}", markdown(method_table(board, key_metrics(board), caption))]


def _elsewhere(measured: LeaveOneOut) -> str:
    title, groups = measured.study.title, len(measured.board.units)
    return f"Measured cells, {title}, each of {groups} groups held out in turn: {tally(measured.comparisons)}."
