"""What the preprocessing of every kind of cells has in common: filters, and the layout of the store."""

from typing import Self

from pydantic import model_validator

from pipeline.params.section import Count, Section, Seed, Whole


class StoredCells(Section):
    min_counts_per_cell: Whole
    min_genes_per_cell: Whole
    min_cells_per_gene: Whole
    highly_variable_genes: Count
    seed: Seed
    cells_per_shard: Count
    cells_per_row_group: Count

    @model_validator(mode="after")
    def _row_groups_fill_shards(self) -> Self:
        if self.cells_per_shard % self.cells_per_row_group:
            raise ValueError("cells_per_shard must be a multiple of cells_per_row_group")
        return self
