"""The chapter on the run's own tissue: positions from expression, and expression from positions."""

import numpy as np
import pandas as pd

from pipeline.alphastomics.decisive import DECISIVE, MODEL, metrics_named
from pipeline.alphastomics.glossary import EXPR_TO_POS, POS_TO_EXPR
from pipeline.alphastomics.plots.identity_scatter import draw_against
from pipeline.alphastomics.plots.tissue import OTHER, Frame, colour_names, draw_expression, draw_tissue
from pipeline.alphastomics.report.results import Spatial, places
from pipeline.alphastomics.report.tables import main_table, other_table, rankings, section_table
from pipeline.alphastomics.report.trust import coverage_curve, coverage_table, trust
from pipeline.alphastomics.report.verdict import answer_of, lead
from pipeline.metrics.scoreboard import Scoreboard
from pipeline.metrics.verdict import compare
from pipeline.plots.curves import draw_learning_curve
from pipeline.plots.theme import Picture
from pipeline.report.page import Block, Figures, Heading, Notes, Section
from pipeline.report.runs import first_run_in_words, shown_predictions, shown_training
from pipeline.report.scores import shown

ANCHOR = "spatial"
_MOST_DRAWN = 3  # sections
_ROLES = ("best", "median", "worst")


def tissue(spatial: Spatial) -> Section:
    """Verdict, rankings, the tissue itself, distances, gene maps and tables of both tasks."""
    position, expression = spatial.boards[EXPR_TO_POS], spatial.boards[POS_TO_EXPR]
    blocks: list[Block] = [
        Heading("From expression to position"),
        *_tissues(spatial),
        rankings(position, EXPR_TO_POS, _ranking_caption(position)),
        Figures(
            [_distances(spatial)],
            "Distances of pairs of cells; a correct placement keeps all of them. Line: medians in twelve bins of equal "
            "count; band: quartiles.",
        ),
        Heading("Can the uncertainty of positions be trusted?"),
        Notes([trust(spatial)]),
        Figures(
            [coverage_curve(spatial), _errors(spatial)],
            "Left: the share of measured positions within the regions around predicted ones, by the probability that "
            "the regions are made for; calibrated on the dashed line, within the grey band to 5 points. Right: how far "
            "a cell is from its measured position, against how far it was expected to be (root mean square). Line: "
            "medians in twelve bins of equal count; band: quartiles.",
        ),
        coverage_table(spatial),
        *_tables(position, EXPR_TO_POS),
        Heading("From position to expression"),
        rankings(expression, POS_TO_EXPR, _ranking_caption(expression)),
        _maps(spatial, drawn_sections(position, 1)[0]),
        _genes(spatial),
        *_tables(expression, POS_TO_EXPR),
        Heading("Training"),
        _training(spatial),
    ]
    return Section("Positions and expression of held-out cells", ANCHOR, lead(spatial), blocks, answer_of(spatial))


def _ranking_caption(board: Scoreboard) -> str:
    dots = "" if len(board.units) == 1 else " (small dots: single sections)"
    return f"Methods in order of their scores{dots}. Hollow: the negative control, measurements permuted among cells."


def drawn_sections(board: Scoreboard, most: int = _MOST_DRAWN) -> list[str]:
    """All sections up to `most`; of more, the model's worst, median and best by the first decisive score, or the median
    alone."""
    if len(board.units) <= most:
        return list(board.units)
    metric, model = board.metric(DECISIVE[EXPR_TO_POS][0]), board.method(MODEL)
    ordered = sorted(board.units, key=lambda section: board.estimate(model, metric, section).value or 0.0)
    median = ordered[(len(ordered) - 1) // 2]
    return [median] if most == 1 else [ordered[0], median, ordered[-1]]


def _tissues(spatial: Spatial) -> list[Block]:
    """A pair of pictures for each section drawn."""
    board, cells = spatial.boards[EXPR_TO_POS], spatial.cells
    names = colour_names(cells["cell_type"].astype(str).tolist())
    drawn = drawn_sections(board)
    notes = [
        "Cells by type: at their measured positions, and as predicted from expression and cell type, after alignment."
    ]
    if OTHER in names:
        notes.append(f"Grey: the types beyond the {len(names) - 1} commonest.")
    if spatial.dimensions == 3:
        notes.append("Of the three axes, the first two are shown; scores are of all three.")
    notes.append("" if spatial.unit else "Scale bars: in the unit of the data's coordinates.")
    if len(drawn) < len(board.units):
        notes.append(f"Drawn are, in this order, the model's worst, median and best of {len(board.units)} sections.")
    notes.append(shown_predictions(spatial.folds, spatial.sections))
    blocks: list[Block] = []
    for section in drawn:
        of = cells[cells["section"] == section]
        true_NS, predicted_NS = places(of, "true"), places(of, "predicted")
        frame, labels = Frame.around(true_NS, predicted_NS), of["cell_type"].astype(str).tolist()
        score = board.estimate(board.method(MODEL), board.metric("spearman_distances"), section).value
        said = f"Predicted, Spearman {shown(score, 2)}"
        pair = [
            draw_tissue(f"{section}, measured", true_NS, labels, names, frame, spatial.unit),
            draw_tissue(said, predicted_NS, labels, names, frame, spatial.unit),
        ]
        blocks.append(Figures(pair, " ".join(filter(None, notes)) if section == drawn[-1] else ""))
    return blocks


def _distances(spatial: Spatial) -> Picture:
    pairs = spatial.distances
    board = spatial.boards[EXPR_TO_POS]
    note = f"Spearman {shown(board.estimate(board.method(MODEL), board.metric('spearman_distances')).value, 2)}"
    true, predicted = (pairs[side].to_numpy(np.float64) for side in ("true", "predicted"))
    return draw_against("Distances between cells", _with_unit(spatial, "measured", "predicted"), true, predicted, note)


def _with_unit(spatial: Spatial, *names: str) -> tuple[str, str]:
    """Names of two axes that are lengths."""
    first, second = (f"{name} ({spatial.unit})" if spatial.unit else name for name in names)
    return first, second


def _errors(spatial: Spatial) -> Picture:
    """Error of each cell against the one that was expected."""
    spread, error = (spatial.cells[name].to_numpy(np.float64) for name in ("spread", "error"))
    varies = np.ptp(spread) > 0 and np.ptp(error) > 0
    ranks = pd.DataFrame({"spread": spread, "error": error}).rank()
    note = f"Spearman {shown(float(np.corrcoef(ranks.T)[0, 1]) if varies else None, 2)}"
    names = _with_unit(spatial, "expected error", "error")
    return draw_against("Error and expected error", names, spread, error, note, equal=False)


def _maps(spatial: Spatial, section: str) -> Figures:
    """The best, the median and the worst gene of one section."""
    cells = spatial.cells[spatial.cells["section"] == section].set_index("cell")
    rows = spatial.expression[spatial.expression["section"] == section]
    frame = Frame.around(places(cells, "true"), places(cells, "true"))
    pictures = []
    for role in [role for role in _ROLES if role in set(rows["role"])]:
        of = rows[rows["role"] == role]
        gene = str(of["gene"].iloc[0])
        true_N, predicted_N = (of[side].to_numpy(np.float64) for side in ("true", "predicted"))
        place_NS = places(cells.loc[of["cell"]], "true")
        note = f"PCC {shown(_pcc(spatial.genes, section, gene), 2)}"
        pictures.append(draw_expression(f"{role.capitalize()}: {gene}", note, place_NS, true_N, predicted_N, frame))
    where = f" of {section}" if len(spatial.sections) > 1 else ""
    caption = (
        f"The genes{where} with the model's best, median and worst PCC, at the measured positions: log expression, "
        "standardised over the training cells. Both maps of a gene share a scale, from the 1st to the 99th percentile "
        "of the measurements."
    )
    return Figures(pictures, caption, small=True)


def _pcc(genes: pd.DataFrame, section: str, gene: str) -> float | None:
    found = genes.loc[(genes["section"] == section) & (genes["gene"] == gene) & (genes["method"] == MODEL), "pcc"]
    return float(found.iloc[0]) if len(found) else None


def _genes(spatial: Spatial) -> Figures:
    """Gene by gene: the model beside its best baseline, and how much pattern is kept."""
    board = spatial.boards[POS_TO_EXPR]
    model = board.method(MODEL)
    rival = compare(board, board.metric("pcc"), model=model).baseline
    by_method = spatial.genes.pivot_table(index=["section", "gene"], columns="method", values="pcc", sort=False)
    pair = by_method[[MODEL, rival.name]].dropna()
    ours, theirs = (pair[name].to_numpy(np.float64) for name in (MODEL, rival.name))
    won = f"better in {int((ours > theirs).sum())} of {len(pair)}"
    names = (f"PCC of {rival.label}", f"PCC of {model.label}")
    of_model = spatial.genes[spatial.genes["method"] == MODEL]
    columns = ("moran_true", "moran_predicted", "pcc_ceiling", "pcc")
    true, predicted, ceiling, reached = (of_model[column].to_numpy(np.float64) for column in columns)
    return Figures(
        [
            draw_against("PCC of each gene", names, theirs, ours, won, trend=False),
            draw_against(
                "What is left to gain", ("PCC that noise allows", names[1]), ceiling, reached, "", trend=False
            ),
            draw_against(
                "Moran's I of each gene",
                ("measured Moran's I", "predicted Moran's I"),
                true,
                predicted,
                "",
                trend=False,
            ),
        ],
        f"One dot per gene and section. Left: above the dashed line the model predicts a gene better than "
        f"{rival.label}, its best baseline. Middle: below the line by what the noise of counts does not explain. "
        "Right: spatial autocorrelation; above the line the prediction is smoother than the measurement.",
    )


def _tables(board: Scoreboard, task: str) -> list[Block]:
    decisive = metrics_named(board, DECISIVE[task]) if len(board.units) > 1 else []
    folded = [section_table(board, metric, folded=True) for metric in decisive]
    other = [other_table(board, task)] if task == EXPR_TO_POS else []  # of expression, all are in the main table
    return [main_table(board, task), *other, *folded]


def _training(spatial: Spatial) -> Figures:
    curve = spatial.curve
    losses = (curve[name].tolist() for name in ("train_loss", "validation_loss"))
    which = first_run_in_words(spatial.folds, spatial.sections)
    picture = draw_learning_curve("Diffusion", [int(epoch) for epoch in curve["epoch"]], *losses)
    caption = (
        f"Loss by epoch{which and f', {which}'}. The weights of the epoch with the lowest validation loss are kept; no "
        f"cell of a held-out section is among the validation cells. {shown_training(spatial.folds, spatial.sections)}"
    )
    return Figures([picture], caption.rstrip())
