"""Are perturbation and batch confounded? Measured on their contingency table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.int64]

# Where sample names usually contain the donor or batch, most specific first; the one group of a pattern is kept.
COMMON_PATTERNS = (
    r"(\d+)$",
    r"^(\d+)",
    r"^([^_]+)_",
    r"_([^_]+)$",
    r"^([^-]+)-",
    r"-([^-]+)$",
    r"^([^.]+)\.",
    r"\.([^.]+)$",
    r"^(\S+)\s",
    r"\s(\S+)$",
    r"(\d+)",
    r"_([^_]+)_",
    r"-([^-]+)-",
    r"^([A-Za-z]+)",
)


@dataclass(frozen=True)
class Suggestion:
    """A pattern that turns confounded batch names into batches that are not."""

    pattern: str
    labels: list[str]  # the batches it gives


def contingency(first: npt.NDArray[np.int32], second: npt.NDArray[np.int32], shape: tuple[int, int]) -> Table:
    """Numbers of cells per pair of labels, `shape` = (labels of first, labels of second); missing codes left out."""
    known = (first >= 0) & (second >= 0)
    pairs = first[known].astype(np.int64) * shape[1] + second[known]
    return np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)


def fully_confounded(table_BP: Table) -> bool:
    """True if every batch holds one perturbation only, and there are several of both.

    Then a difference between perturbations is a difference between batches as well. A single batch is fine.
    """
    used_BP = table_BP[table_BP.sum(axis=1) > 0]
    several = len(used_BP) > 1 and (used_BP.sum(axis=0) > 0).sum() > 1
    return bool(several and ((used_BP > 0).sum(axis=1) == 1).all())


def cramers_v(table_AB: Table) -> float:
    """Cramér's V of a contingency table: sqrt(chi^2 / (n (min(rows, columns) - 1))), 0 independent, 1 determined.

    Cramér (1946), Mathematical Methods of Statistics, chapter 21. Empty rows and columns are left out; 0 where fewer
    than two rows or columns are left.
    """
    used_AB = table_AB[table_AB.sum(axis=1) > 0][:, table_AB.sum(axis=0) > 0]
    if min(used_AB.shape) < 2:
        return 0.0
    total = used_AB.sum()
    expected_AB = np.outer(used_AB.sum(axis=1), used_AB.sum(axis=0)) / total
    chi_squared = float(((used_AB - expected_AB) ** 2 / expected_AB).sum())
    return float(np.sqrt(chi_squared / (total * (min(used_AB.shape) - 1))))


def suggest_pattern(labels: Sequence[str], table_BP: Table) -> Suggestion | None:
    """The common pattern that merges batch names into the least confounded batches, or None if no pattern helps.

    A pattern helps if it matches every name, leaves at least two batches, and each holds at least two perturbations.
    """
    best: tuple[float, Suggestion] | None = None
    for pattern in COMMON_PATTERNS:
        matches = [re.search(pattern, label) for label in labels]
        if not all(matches):
            continue
        parts = [match.group(1) for match in matches if match]
        merged = sorted(set(parts))
        merged_BP = np.zeros((len(merged), table_BP.shape[1]), np.int64)
        np.add.at(merged_BP, [merged.index(part) for part in parts], table_BP)
        if len(merged) < 2 or ((merged_BP > 0).sum(axis=1) < 2).any():
            continue
        association = round(cramers_v(merged_BP), 6)  # rounded, so that ties keep the order above
        if best is None or association < best[0]:
            best = (association, Suggestion(pattern, merged))
    return best[1] if best else None
