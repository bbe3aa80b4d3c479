"""Abstention: the error rate on the images that are answered, and whether the gate tells which these should be."""

import numpy as np
import pandas as pd

from pipeline.bayes_moe.glossary import CONFIDENCE
from pipeline.bayes_moe.report.results import Moe
from pipeline.core.wording import counted
from pipeline.metrics.scoreboard import Scoreboard
from pipeline.plots.lines import Line, draw_lines
from pipeline.plots.theme import PANEL_WIDTH, Picture
from pipeline.report.page import Cell, Table
from pipeline.report.scores import decimals_for, shown, signed

RISK = (
    "the error rate among the images a classifier is surest of, where it may abstain on the others; blue: the chosen "
    "point by its gate's entropy instead of its confidence. Thick: means over seeds; thin: each seed."
)


def abstention_table(frame: pd.DataFrame, board: Scoreboard) -> Table:
    """Whether another score than confidence is better to abstain by, of every sparse point."""
    rows = []
    digits = decimals_for(frame["aurc"].tolist())
    for of in frame.to_dict("records"):
        interval = f"{signed(of['low'], digits)} to {signed(of['high'], digits)}"
        difference = Cell(signed(of["difference"], digits), best=of["high"] < 0, remark=interval)
        if of["score"] == CONFIDENCE:
            difference = Cell("")
        rows.append(
            [Cell(board.method(str(of["point"])).label), Cell(of["score"]), Cell(shown(of["aurc"], digits)), difference]
        )
    caption = (
        f"{gate_or_confidence(frame)} AURC: area under the curve of risk against coverage, mean over seeds, where "
        "images are answered in the order of a score; beside it the difference to the order by confidence, with its "
        "95 % interval over test images and seeds, ▸ and bold where all of it is below 0. Gate entropy: images of "
        "which the gate is surest come first; experts used: those that take fewer. Confidence and gate: the log odds "
        "of being right, by logistic regression on the validation images. All of one pass without noise."
    )
    return Table(["point", "score", "AURC ↓", "against confidence"], rows, caption)


def risk_picture(moe: Moe) -> Picture:
    """Risk against coverage of the twin and of each score of the chosen point."""
    lines = []
    for (point, score), rows in moe.coverage.groupby(["point", "score"], sort=False):
        seeds = [
            (100 * of["coverage"].to_numpy(np.float64), of["risk"].to_numpy(np.float64))
            for _, of in rows.groupby("seed")
        ]
        name, role = moe.label(str(point)), moe.role(str(point))
        lines.append(Line(name, role, seeds) if score == CONFIDENCE else Line(str(score), "other", seeds))
    return draw_lines("Error rate with abstention", "images answered (%)", lines, PANEL_WIDTH)


def gate_or_confidence(frame: pd.DataFrame) -> str:
    """Of how many points each score is better or worse to abstain by than confidence."""
    others = frame[frame["score"] != CONFIDENCE]
    said = [
        f"{score}, better in {(of['high'] < 0).sum()} of {counted(len(of), 'sparse point')} and worse in "
        f"{(of['low'] > 0).sum()}"
        for score, of in others.groupby("score", sort=False)
    ]
    return f"To abstain by, beside confidence: {'; '.join(said)}."
