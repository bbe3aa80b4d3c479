"""The first screen: for every system, did it work, and how well beside its best baseline.

A new system adds one function from its results to a `System`.
"""

from collections.abc import Sequence

from pipeline.report import against_baselines, forecasting, forecasting_verdict, moe, perturbation_verdict, spatial
from pipeline.report.forecasting_board import MSE
from pipeline.report.forecasting_board import Standing as ForecastStanding
from pipeline.report.forecasting_inputs import Forecasting
from pipeline.report.forecasting_names import label_of as forecaster
from pipeline.report.inputs import LeaveOneOut, PerturbationResults
from pipeline.report.moe_inputs import RAW, SCALED, Moe
from pipeline.report.moe_names import ACCURACY, ECE, label_of
from pipeline.report.moe_verdict import answer as calibrated
from pipeline.report.moe_verdict import standing
from pipeline.report.page import Number, System
from pipeline.report.scores import Comparison, Standing, decimals_for, joined, shown
from pipeline.report.spatial_inputs import Spatial
from pipeline.report.spatial_names import method_named
from pipeline.report.spatial_verdict import answer_of, comparisons

_MOST = 4  # numbers of a system


def of_perturbations(results: PerturbationResults, measured: LeaveOneOut) -> System:
    found = perturbation_verdict.comparisons(results.board)
    groups = len(measured.board.groups)
    elsewhere = tally([measured.board.comparison(metric) for metric in measured.board.decisive])
    return System(
        name="Perturbations",
        question="Does it foresee what a treatment does in a cell type that it never saw treated?",
        answer=perturbation_verdict.answer_of(results),
        standing=overall(found),
        model=results.board.model.label,
        rival="best baseline",
        numbers=[_number(one) for one in found],
        simulated=bool(results.dataset["simulated"]),
        elsewhere=f"Measured cells, each of {groups} groups held out in turn: {elsewhere}.",
        anchor=against_baselines.ANCHOR,
    )


def of_experts(found: Moe) -> System:
    kinds = [(ECE, RAW, "ECE"), (ECE, SCALED, "ECE, scaled"), (ACCURACY, RAW, "accuracy")]
    numbers, stands = [], {}
    for measure, kind, label in kinds:
        means = [found.spread(point, measure.name, kind).mean for point in (found.chosen, found.twin)]
        ours, theirs = (shown(mean, decimals_for(means)) for mean in means)
        stands[label] = standing(measure, found.differences[found.chosen, kind, measure.name])
        numbers.append(Number(f"{label} {measure.arrow}", ours, theirs, stands[label]))
    calibration = {stands["ECE"], stands["ECE, scaled"]}
    mark: Standing = "behind" if "worse" in calibration else "ahead" if calibration == {"better"} else "level"
    return System(
        name="Mixture of experts",
        question="Are sparse experts as accurate as a dense network, and better calibrated?",
        answer=calibrated(found),
        standing=mark,
        model=f"“{label_of(found.chosen)}”",
        rival="dense twin",
        numbers=numbers,
        simulated=False,
        elsewhere="",
        anchor=moe.ANCHOR,
    )


def of_tissue(found: Spatial) -> System:
    decisive = [one for of_mode in comparisons(found.board).values() for one in of_mode]
    parts = [
        f"{tally([one for of_mode in comparisons(data.board).values() for one in of_mode])} ({data.name})"
        for data in found.measured
    ]
    return System(
        name="Tissue",
        question="Does one network find where cells lie, and what is expressed where?",
        answer=answer_of(found),
        standing=overall(decisive),
        model=method_named("model").label,
        rival="best baseline",
        numbers=[_number(one) for one in decisive[:_MOST]],
        simulated=bool(found.dataset["simulated"]),
        elsewhere=f"Measured sections, each held out in turn: {'; '.join(parts)}." if parts else "",
        anchor=spatial.ANCHOR,
    )


def of_forecasts(found: Forecasting) -> System:
    board = found.board
    horizons = board.horizons if len(board.horizons) <= _MOST else [*board.horizons[: _MOST - 1], board.horizons[-1]]
    numbers = []
    for horizon in horizons:
        rival, decimals = board.rival(horizon), forecasting_verdict.error_decimals(board, horizon)
        ours = forecasting_verdict.with_spread(board.spread(horizon, board.choices[horizon].chosen), decimals)
        theirs = f"{shown(board.mean(horizon, rival), decimals)} {forecaster(rival)}"
        numbers.append(
            Number(f"{MSE.label}, {horizon} steps {MSE.arrow}", ours, theirs, board.standing(horizon, rival))
        )
    chosen = dict.fromkeys(forecaster(board.choices[horizon].chosen) for horizon in horizons)
    stands: set[ForecastStanding] = {board.standing(horizon, board.rival(horizon)) for horizon in board.horizons}
    return System(
        name="Forecasting",
        question="Does a mixture of linear experts forecast better than least squares?",
        answer=forecasting_verdict.answer_of(board),
        standing="ahead" if stands == {"ahead"} else "behind" if stands <= {"behind"} else "level",
        model=joined(list(chosen)),
        rival="best baseline",
        numbers=numbers,
        simulated=bool(found.source["simulated"]),
        elsewhere=forecasting_verdict.on_measured(found),
        anchor=forecasting.ANCHOR,
    )


def overall(found: Sequence[Comparison]) -> Standing:
    """How an answer is marked: ahead where all comparisons are, behind where none is ahead and any is behind."""
    standings = {one.standing for one in found}
    if standings == {"ahead"}:
        return "ahead"
    return "behind" if "behind" in standings and "ahead" not in standings else "level"


def tally(found: Sequence[Comparison]) -> str:
    """How many comparisons stand how: "ahead in 1 and behind in 1 of 2 decisive scores"."""
    words: tuple[Standing, ...] = ("ahead", "level", "behind")
    counts = [(word, sum(one.standing == word for one in found)) for word in words]
    said = joined([f"{word} in {count}" for word, count in counts if count])
    return f"{said} of {len(found)} decisive scores"


def _number(one: Comparison) -> Number:
    decimals = decimals_for([one.model, one.baseline_score])
    ours, theirs = (shown(value, decimals) for value in (one.model, one.baseline_score))
    return Number(f"{one.metric.label} {one.metric.arrow}", ours, f"{theirs} {one.baseline.label}", one.standing)
