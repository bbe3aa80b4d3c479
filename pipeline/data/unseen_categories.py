"""Genes and labels of new cells that the model never saw in training, collected for the user's report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.wording import counted, listed


@dataclass
class UnseenCategories:
    """Genes missing or unknown, labels without a category, empty cells; filled while the cells are read."""

    missing_genes: list[str]
    extra_genes: list[str]
    unknown: dict[str, dict[str, int]] = field(default_factory=dict)  # covariate -> label -> cells
    empty_cells: int = 0
    missing_are: str = "taken as zero"  # how the model treats missing genes
    empty_are: str = "treated as cells of a single count"

    def lines(self, genes: int | None) -> list[str]:
        """One line per subject, for people; genes: how many the model has, None where genes were not matched."""
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
        """The same as plain data."""
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
    labels: npt.NDArray[np.object_], covariate: str, categories: Sequence[str], unseen: UnseenCategories
) -> npt.NDArray[np.int64]:
    """Codes (N,) of labels (N,): unknown ones get the code after the last category, and are recorded."""
    code_of = {label: code for code, label in enumerate(categories)}
    values, place_N, number = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    unknown = {str(v) or "no label": int(n) for v, n in zip(values, number, strict=True) if str(v) not in code_of}
    if unknown:
        unseen.unknown[covariate] = unknown
    codes = np.array([code_of.get(str(value), len(categories)) for value in values], np.int64)
    return codes[place_N]
