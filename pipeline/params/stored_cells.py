"""What the preprocessing of every kind of cells has in common: filters, and the layout of the store."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.params.section import MOST_PROCESSES, Count, Section, Seed, Whole


class StoredCells(Section):
    min_counts_per_cell: Whole = 20
    min_genes_per_cell: Whole = 10
    min_cells_per_gene: Whole = 3
    highly_variable_genes: Count = 500
    seed: Seed = 0
    cells_per_shard: Count = 65536
    cells_per_row_group: Count = 4096
    workers: Annotated[int, Field(ge=1, le=MOST_PROCESSES, exclude_if=lambda value: value == 1)] = 1

    @model_validator(mode="after")
    def _row_groups_fill_shards(self) -> Self:
        if self.cells_per_shard % self.cells_per_row_group:
            raise ValueError("cells_per_shard must be a multiple of cells_per_row_group")
        return self
