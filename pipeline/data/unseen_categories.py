"""What a trained model never saw in the cells that are brought to it, to be told to whoever brought them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.source import counted, listed


@dataclass
class Unusual:
    """What was met in the cells that the model never saw in training; filled while they are read."""

    missing_genes: list[str]
    extra_genes: list[str]
    unknown: dict[str, dict[str, int]] = field(default_factory=dict)  # covariate -> label -> cells
    empty_cells: int = 0
    missing_are: str = "taken as zero"  # what the model makes of missing genes
    empty_are: str = "treated as cells of a single count"

    def lines(self, genes: int | None) -> list[str]:
        """It in words, one line per subject; genes: how many the model has, None where none were looked for."""
        lines = [] if genes is None else [self._genes_line(genes)]
        for covariate, cells in self.unknown.items():
            labels = listed([f"{label} ({counted(number, 'cell')})" for label, number in cells.items()], 5)
            lines.append(f'{covariate.replace("_", " ")} treated as "unknown": {labels}')
        if self.empty_cells:
            lines.append(f"{counted(self.empty_cells, 'cell')} without a count: {self.empty_are}")
        return lines

    def _genes_line(self, genes: int) -> str:
        line = f"genes: {genes - len(self.missing_genes):,} of the model's {genes:,} found"
        if self.missing_genes:
            line += f", {len(self.missing_genes):,} {self.missing_are} ({listed(self.missing_genes, 5)})"
        if self.extra_genes:
            line += f"; {len(self.extra_genes):,} others ignored ({listed(self.extra_genes, 5)})"
        return line

    def described(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "missing_genes": list(self.missing_genes),
            "extra_genes": len(self.extra_genes),
            "unknown": {
                covariate: [f"{label}: {number}" for label, number in cells.items()]
                for covariate, cells in self.unknown.items()
            },
            "empty_cells": self.empty_cells,
        }


def codes_of(
    labels: npt.NDArray[np.object_], covariate: str, categories: Sequence[str], unusual: Unusual
) -> npt.NDArray[np.int64]:
    """Codes (N,) of labels (N,): those the model does not know get the code one past the last, and are noted."""
    code_of = {label: code for code, label in enumerate(categories)}
    values, place_N, number = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    unknown = {str(v) or "no label": int(n) for v, n in zip(values, number, strict=True) if str(v) not in code_of}
    if unknown:
        unusual.unknown[covariate] = unknown
    codes = np.array([code_of.get(str(value), len(categories)) for value in values], np.int64)
    return codes[place_N]
