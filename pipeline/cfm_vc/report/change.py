"""The section on genes: predicted against true change in the held-out groups."""

import numpy as np
import pandas as pd

from pipeline.cfm_vc.decisive import decisive
from pipeline.cfm_vc.plots.change import draw_change, slope_of
from pipeline.cfm_vc.report.results import PerturbationResults, incomplete
from pipeline.cfm_vc.report.selection import select
from pipeline.metrics.glossary import Method
from pipeline.metrics.verdict import compare
from pipeline.plots.theme import Picture
from pipeline.report.page import Figures, Section
from pipeline.report.runs import shown_predictions
from pipeline.report.scores import shown

_NAMED_GENES = 8
_TOP_GENES = 100  # if no metric has a number of top genes


def change(results: PerturbationResults) -> Section:
    """Predicted against true change: the model beside the best baseline, on the same axes."""
    board = results.board
    selection = select(board)
    metric = decisive(board)[0]
    rival = compare(board, metric).baseline
    top = metric.number or _TOP_GENES
    pictures = [
        drawing for unit, title in selection.titles.items() for drawing in _pair(results, unit, title, rival, top)
    ]
    caption = (
        "Predicted against true change of mean log-normalised expression against control, one dot per gene: the model "
        f"beside {rival.label}, the best baseline by {metric.label}. Large dots: the {top} most differentially "
        "expressed genes, those with the largest changes labelled; small grey dots: all others. A perfect prediction "
        "lies on the grey diagonal; the coloured line is the slope over the large dots, below 1 if the effect is "
        f"underestimated. {selection.note}"
    )
    seed = shown_predictions(results.folds, results.cell_types)
    lead = "Which genes respond, in which direction and how strongly: prediction and measurement."
    return Section("Change by gene", "change", lead, [Figures(pictures, f"{caption.rstrip()} {seed}".rstrip())])


def _pair(results: PerturbationResults, unit: str, title: str, rival: Method, top: int) -> list[Picture]:
    """A figure per method, on shared axes."""
    board = results.board
    rows = results.change
    in_group = rows[rows["unit"] == unit]
    by_method = {
        method: in_group[in_group["method"] == method.name].sort_values("de_rank", kind="stable")
        for method in (board.model, rival)
    }
    for method, genes in by_method.items():
        if genes.empty:
            raise incomplete("change.parquet", f"changes predicted by {method.name}", unit)
    both = pd.concat(by_method.values())[["change_true", "change_predicted"]].to_numpy(np.float64)
    low, high = min(0.0, float(both.min())), max(0.0, float(both.max()))
    margin = 0.09 * (high - low) or 1.0
    metric = decisive(board)[0]
    pictures = []
    for method, genes in by_method.items():
        true, predicted = (genes[name].to_numpy(np.float64) for name in ("change_true", "change_predicted"))
        chosen = genes["de_rank"].to_numpy() <= top
        # The largest changes, up or down, lie at the ends of the diagonal, where errors matter most.
        named = np.argsort(-np.abs(np.where(chosen, true, 0)), kind="stable")[: min(_NAMED_GENES, int(chosen.sum()))]
        score = board.estimate(method, metric, unit).value
        slope = shown(slope_of(true[chosen], predicted[chosen]), 2)
        note = f"{method.label}\n{metric.label}: {shown(score)}\nslope: {slope}"
        pictures.append(
            draw_change(
                title,
                true,
                predicted,
                [str(gene) for gene in genes["gene"]],
                chosen,
                [int(gene) for gene in named],
                note,
                (low - margin, high + margin),
                method.role == "model",
            )
        )
    return pictures
