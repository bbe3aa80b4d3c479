"""The final numbers of a training, for reports/<system>/training: deterministic, without times."""

from typing import Any

from torch import nn

from pipeline.training.fit import Fitted


def training_metrics(fitted: Fitted, model: nn.Module) -> dict[str, Any]:
    """Epochs, size, and every part of the loss with the best weights, per cell, on both splits."""
    return {
        "best_epoch": fitted.best_epoch,
        "epochs": len(fitted.curve),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "train": _rounded(fitted.train),
        "validation": _rounded(fitted.validation),
    }


def _rounded(parts: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.7g}") for name, value in parts.items()}
