"""Section `cfm_vc.preprocess`: filters and the layout of the store; and what a fold of a study holds out."""

from typing import Annotated

from pydantic import Field

from pipeline.params.label import Label
from pipeline.params.section import LONGEST_LIST, MOST, Section
from pipeline.params.stored_cells import StoredCells


class HeldOutPair(Section):
    cell_type: Label
    perturbation: Label


class Preprocess(StoredCells):
    min_cells_per_group: Annotated[int, Field(ge=2, le=MOST)] = 5
    validation_share: Annotated[float, Field(gt=0, le=0.5)] = 0.1


HeldOut = Annotated[list[HeldOutPair], Field(max_length=LONGEST_LIST)]


class HeldOutGroups(Section):
    """A pair, or a cell type under all perturbations (None)."""

    cell_type: Label
    perturbation: Label | None = None


class FoldPreprocess(Preprocess):
    """The settings of one fold."""

    held_out: Annotated[list[HeldOutGroups], Field(max_length=LONGEST_LIST)]
