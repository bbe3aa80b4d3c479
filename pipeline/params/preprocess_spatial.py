"""Section `preprocess.spatial`: filters, what is held out, layout of the store."""

from typing import Annotated

from pydantic import Field

from pipeline.params.label import Label
from pipeline.params.section import Count, NotNegative
from pipeline.params.stored_cells import StoredCells

BlockShare = Annotated[float, Field(gt=0, le=0.5)]


class PreprocessSpatial(StoredCells):
    test_sections: list[Label]
    validation_sections: list[Label]
    blocks_per_side: Count
    test_share: BlockShare
    validation_share: BlockShare
    margin: NotNegative
