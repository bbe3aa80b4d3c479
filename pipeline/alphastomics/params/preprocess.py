"""Section `alphastomics.preprocess`: filters, held-out sections, layout of the store."""

from typing import Annotated

from pydantic import Field

from pipeline.params.label import Labels
from pipeline.params.section import MOST_STEPS, NotNegative
from pipeline.params.stored_cells import StoredCells

BlockShare = Annotated[float, Field(gt=0, le=0.5)]


class Preprocess(StoredCells):
    test_sections: Labels
    validation_sections: Labels
    blocks_per_side: Annotated[int, Field(ge=1, le=MOST_STEPS)]
    test_share: BlockShare
    validation_share: BlockShare
    margin: NotNegative
