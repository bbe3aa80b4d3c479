"""Section `alphastomics.preprocess`: filters, blocks and the layout of the store; and what a fold holds out."""

from typing import Annotated

from pydantic import Field

from pipeline.params.label import Labels
from pipeline.params.section import MOST_STEPS, NotNegative
from pipeline.params.stored_cells import StoredCells

BlockShare = Annotated[float, Field(gt=0, le=0.5)]


class Preprocess(StoredCells):
    validation_sections: Labels = []
    blocks_per_side: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 4
    test_share: BlockShare = 0.2
    validation_share: BlockShare = 0.15
    margin: NotNegative = 0.1


class FoldPreprocess(Preprocess):
    """The settings of one fold. test_sections: held out as a whole; none: blocks of every section."""

    test_sections: Labels
