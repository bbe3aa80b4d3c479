"""The chapter on training: learning curves and final numbers of each model."""

from collections.abc import Mapping

from pipeline.cfm_vc.report.results import Training
from pipeline.plots.curves import draw_learning_curve
from pipeline.report.page import Block, Cell, Facts, Figures, Section, Table


def training(models: Mapping[str, Training]) -> Section:
    """`models` maps a title, such as "VAE", to the curve and final numbers of that model."""
    pictures = [
        draw_learning_curve(
            title,
            [int(epoch) for epoch in model.curve["epoch"]],
            model.curve["train_loss"].tolist(),
            model.curve["validation_loss"].tolist(),
        )
        for title, model in models.items()
    ]
    sizes = [
        (title, f"{n['parameters']:,} parameters; epoch {n['best_epoch']} of {n['epochs']} was the best")
        for title, n in ((title, model.numbers) for title, model in models.items())
    ]
    rows = [
        (
            Cell(f"{title}: {part.replace('_', ' ')}"),
            Cell(f"{model.numbers['train'][part]:.5g}"),
            Cell(f"{model.numbers['validation'][part]:.5g}"),
        )
        for title, model in models.items()
        for part in model.numbers["train"]
    ]
    blocks: list[Block] = [
        Figures(
            pictures,
            "Loss by epoch. The weights of the epoch with the lowest validation loss are the ones kept; the validation "
            "cells come from the training groups, never from the held-out ones.",
        ),
        Facts(sizes),
        Table(("loss", "training", "validation"), rows, "With the weights kept.", folded="The parts of each loss"),
    ]
    return Section("Training", "training", "", blocks)
