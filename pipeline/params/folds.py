"""A fold of a study: one split of its data, for which a model is trained with each seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.params.stored_cells import StoredCells


@dataclass(frozen=True)
class Fold:
    preprocess: StoredCells  # what its preprocessing gets, with what it holds out
    seeds: Sequence[int]
