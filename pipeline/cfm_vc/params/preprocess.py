"""Section `cfm_vc.preprocess`: filters, held-out groups, layout of the store."""

from typing import Annotated

from pydantic import Field

from pipeline.params.label import Label
from pipeline.params.section import LONGEST_LIST, MOST, Section
from pipeline.params.stored_cells import StoredCells


class HeldOutPair(Section):
    cell_type: Label
    perturbation: Label


class Preprocess(StoredCells):
    min_cells_per_group: Annotated[int, Field(ge=2, le=MOST)]
    held_out: Annotated[list[HeldOutPair], Field(max_length=LONGEST_LIST)]
    validation_share: Annotated[float, Field(gt=0, le=0.5)]
