"""Perturbations in short: their card on the first screen, and their part of RESULTS.md."""

from pipeline.cfm_vc.report import against_baselines
from pipeline.cfm_vc.report import verdict as perturbation_verdict
from pipeline.cfm_vc.report.results import LeaveOneOut, PerturbationResults
from pipeline.cfm_vc.report.scoreboard import Scoreboard
from pipeline.report.headline import number_of, overall, tally
from pipeline.report.markdown import markdown
from pipeline.report.page import Cell, System, Table
from pipeline.report.scores import decimals_for, shown


def card(results: PerturbationResults, measured: LeaveOneOut) -> System:
    """What the first screen says."""
    found = perturbation_verdict.comparisons(results.board)
    groups = len(measured.board.groups)
    elsewhere = tally([measured.board.comparison(metric) for metric in measured.board.decisive])
    return System(
        name="CFM-VC",
        question="Does it foresee what a treatment does in a cell type that it never saw treated?",
        answer=perturbation_verdict.answer_of(results),
        standing=overall(found),
        model=results.board.model.label,
        rival="best baseline",
        numbers=[number_of(one) for one in found],
        simulated=bool(results.dataset["simulated"]),
        elsewhere=f"Measured cells, each of {groups} groups held out in turn: {elsewhere}.",
        anchor=against_baselines.ANCHOR,
    )


def results(found: PerturbationResults) -> list[str]:
    """What RESULTS.md says, below the heading of the system."""
    answer, lead = perturbation_verdict.answer_of(found), perturbation_verdict.lead(found)
    return [f"**{answer}** {lead}", markdown(_scores(found.board))]


def _scores(board: Scoreboard) -> Table:
    """Means over the held-out groups: a row per method, a column per key metric."""
    metrics = board.key
    means = {metric: board.means(metric) for metric in metrics}
    decimals = {metric: decimals_for(list(means[metric].values())) for metric in metrics}
    rows = [
        [Cell(method.label), *(Cell(shown(means[metric][method], decimals[metric])) for metric in metrics)]
        for method in board.methods
    ]
    header = ["method", *(f"{metric.label} {metric.arrow}" for metric in metrics)]
    return Table(header, rows, f"Means over {len(board.groups)} held-out groups; the model stands first.")
