"""What the preprocessing of every kind of cells has in common: filters, and the layout of the store."""

from typing import Self

from pydantic import model_validator

from pipeline.params.section import Count, Section, Seed, Whole


class StoredCells(Section):
    min_counts_per_cell: Whole = 20
    min_genes_per_cell: Whole = 10
    min_cells_per_gene: Whole = 3
    highly_variable_genes: Count = 500
    seed: Seed = 0
    cells_per_shard: Count = 65536
    cells_per_row_group: Count = 4096

    @model_validator(mode="after")
    def _row_groups_fill_shards(self) -> Self:
        if self.cells_per_shard % self.cells_per_row_group:
            raise ValueError("cells_per_shard must be a multiple of cells_per_row_group")
        return self
