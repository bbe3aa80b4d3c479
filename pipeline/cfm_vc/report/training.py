"""The section on training: learning curves and final losses of each model."""

from collections.abc import Mapping

from pipeline.cfm_vc.report.results import Training
from pipeline.plots.curves import draw_learning_curve
from pipeline.report.page import Block, Cell, Facts, Figures, Section, Table

ANCHOR = "training"


def training(models: Mapping[str, Training]) -> Section:
    """`models` maps a title, such as "VAE", to the curve and final losses of that model."""
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
        (title, f"{n['parameters']:,} parameters; best epoch {n['best_epoch']} of {n['epochs']}")
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
            "Loss by epoch. The weights with the lowest validation loss are kept; validation cells come from training "
            "groups, never from held-out ones.",
        ),
        Facts(sizes),
        Table(("loss", "training", "validation"), rows, "At the weights kept.", folded="Terms of each loss"),
    ]
    return Section("Training", ANCHOR, "", blocks)
