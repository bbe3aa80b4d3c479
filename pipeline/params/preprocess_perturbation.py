"""Section `preprocess.perturbation`: filters, what is held out, layout of the store."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.params.section import Count, Section, Whole


class HeldOutPair(Section):
    cell_type: str
    perturbation: str


class PreprocessPerturbation(Section):
    min_counts_per_cell: Whole
    min_genes_per_cell: Whole
    min_cells_per_gene: Whole
    min_cells_per_group: Annotated[int, Field(ge=2)]
    highly_variable_genes: Count
    held_out: Annotated[list[HeldOutPair], Field(min_length=1)]
    validation_share: Annotated[float, Field(gt=0, le=0.5)]
    seed: Whole
    cells_per_shard: Count
    cells_per_row_group: Count

    @model_validator(mode="after")
    def _row_groups_fill_shards(self) -> Self:
        if self.cells_per_shard % self.cells_per_row_group:
            raise ValueError("cells_per_shard must be a multiple of cells_per_row_group")
        return self
