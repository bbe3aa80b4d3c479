"""The section on training: learning curves and final losses of each model."""

from pipeline.cfm_vc.report.results import Trained
from pipeline.plots.curves import draw_learning_curve
from pipeline.report.page import Block, Cell, Facts, Figures, Section, Table
from pipeline.report.runs import first_run_in_words, shown_training

ANCHOR = "training"


def training(found: Trained) -> Section:
    """The curve and the final losses of both networks, of the first run."""
    models = {"VAE": found.vae, "Flow": found.flow}
    which = first_run_in_words(found.folds, found.cell_types)
    of_run = f", {which}" if which else ""
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
        (title, f"{n['parameters']:,} parameters; best epoch {n['best_epoch']} of {n['epochs']}{of_run}")
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
            f"Loss by epoch{of_run}. The weights with the lowest validation loss are kept; validation cells come from "
            "training groups, never from held-out ones.",
        ),
        Facts(sizes),
        Table(("loss", "training", "validation"), rows, f"At the weights kept{of_run}.", folded="Terms of each loss"),
    ]
    return Section("Training", ANCHOR, shown_training(found.folds, found.cell_types), blocks)
