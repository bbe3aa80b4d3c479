"""Writing the parquet store that pipeline.data.store reads, cell by cell in whole row groups.

Kept apart from the reader, so that a change here does not make the trainings stale.
"""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.data.arrow import numbers, strings
from pipeline.data.cells import Cells
from pipeline.data.store import DATASET, GENES, SCHEMA_VERSION, SPLITS, Split, schema

LARGEST_OFFSET = 2**31 - 1  # Arrow's lists count the entries of a row group in 32 bits

# Delta encoding suits the ascending gene indices, a dictionary the few distinct counts (and the covariates, of each
# store its own): measured against the alternatives in benchmarks/README.md, and understood by every reader of parquet.
FORMAT: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "column_encoding": {"gene_index.list.element": "DELTA_BINARY_PACKED"},
    "write_statistics": False,
    "write_page_checksum": True,
}


@dataclass
class _OpenSplit:
    writer: pq.ParquetWriter | None = None
    cells: int = 0  # in the open shard
    nonzeros: int = 0
    shards: list[dict[str, Any]] = field(default_factory=list)


class StoreWriter:
    """Writes a store into an empty folder (wrap it in `atomic_folder`); encoding overlaps with the caller's work.

    Every `append` is one row group. A shard is closed once it holds `cells_per_shard`. The bytes written depend on what
    is appended and on nothing else. `categories`: labels of each covariate of the cells. `dimensions`: of the cells'
    spatial coordinates, 0 where they have none.
    """

    def __init__(
        self,
        folder: Path,
        genes: Sequence[str],
        categories: Mapping[str, list[str]],
        cells_per_shard: int,
        dimensions: int = 0,
    ) -> None:
        self._folder = folder
        self._genes = list(genes)
        self._labels = {name: strings(labels) for name, labels in categories.items()}
        self._categories = {name: list(labels) for name, labels in categories.items()}
        self._cells_per_shard = cells_per_shard
        self._splits = {split: _OpenSplit() for split in SPLITS}
        self._schema = schema(categories, dimensions)
        # One thread, first in, first out: so the order of calls determines the bytes.
        self._encoder = ThreadPoolExecutor(1)
        self._pending: deque[Future[None]] = deque()
        for split in SPLITS:
            (folder / split).mkdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._encoder.shutdown(wait=True, cancel_futures=True)
        for split in self._splits.values():
            if split.writer is not None:
                split.writer.close()

    def append(self, split: Split, cells: Cells, total_counts: npt.NDArray[np.int64]) -> None:
        """Write these cells as the next row group of a split; `total_counts` (N,) is over all genes of the input."""
        if cells.indptr[-1] > LARGEST_OFFSET:
            raise ExpectedError(
                f"a row group of {len(cells)} cells holds {cells.indptr[-1]} counts, more than parquet lists can "
                f"address ({LARGEST_OFFSET}): lower cells_per_row_group in params.yaml"
            )
        while len(self._pending) >= 2:
            self._pending.popleft().result()
        self._pending.append(self._encoder.submit(self._write, split, cells, total_counts))

    def finish(self, gene_columns: Mapping[str, npt.NDArray[Any]], description: Mapping[str, Any]) -> dict[str, Any]:
        """Close the store: genes.parquet (`gene` and these columns, each (G,)) and dataset.json, which is returned.

        `description` is what dataset.json holds beside sizes, categories and shards.
        """
        while self._pending:
            self._pending.popleft().result()
        for split in SPLITS:
            self._close_shard(split)
        columns = {"gene": strings(self._genes), **{name: numbers(values) for name, values in gene_columns.items()}}
        table = pa.Table.from_arrays(list(columns.values()), list(columns))
        pq.write_table(table, self._folder / GENES, compression="zstd")
        dataset = {
            "schema_version": SCHEMA_VERSION,
            **description,
            "genes": len(self._genes),
            "categories": self._categories,
            "splits": {name: _totals(split) for name, split in self._splits.items()},
        }
        (self._folder / DATASET).write_text(json.dumps(dataset, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return dataset

    def _write(self, name: Split, cells: Cells, total_counts: npt.NDArray[np.int64]) -> None:
        split = self._splits[name]
        if split.writer is None:
            path = self._folder / _shard_file(name, len(split.shards))
            split.writer = pq.ParquetWriter(
                path, self._schema, use_dictionary=[*self._labels, "count.list.element"], **FORMAT
            )
        split.writer.write_batch(self._batch(cells, total_counts), row_group_size=max(1, len(cells)))
        split.cells += len(cells)
        split.nonzeros += int(cells.indptr[-1])
        if split.cells >= self._cells_per_shard:
            self._close_shard(name)

    def _close_shard(self, name: Split) -> None:
        split = self._splits[name]
        if split.writer is None:
            return
        split.writer.close()
        file = _shard_file(name, len(split.shards))
        split.shards.append({"file": file, "cells": split.cells, "sha256": sha256(self._folder / file)})
        split.writer, split.cells = None, 0

    def _batch(self, cells: Cells, total_counts: npt.NDArray[np.int64]) -> pa.RecordBatch:
        offsets = numbers(cells.indptr.astype(np.int32))
        entries = self._schema.field("count").type
        codes = {name: numbers(cells.covariates[name].astype(np.int32)) for name in self._labels}
        columns = {
            "cell": strings(cells.names),
            **{name: pa.DictionaryArray.from_arrays(codes[name], labels) for name, labels in self._labels.items()},
            "library_size": numbers(cells.library_size),
            "total_counts": numbers(total_counts),
            "gene_index": pa.ListArray.from_arrays(offsets, numbers(cells.indices), type=entries),
            "count": pa.ListArray.from_arrays(offsets, numbers(cells.counts), type=entries),
        }
        if cells.spatial is not None:
            kind = self._schema.field("spatial").type
            columns["spatial"] = pa.FixedSizeListArray.from_arrays(numbers(cells.spatial.ravel()), type=kind)
        return pa.RecordBatch.from_arrays([columns[name] for name in self._schema.names], schema=self._schema)


def _shard_file(split: Split, number: int) -> str:
    return f"{split}/part-{number:05d}.parquet"


def _totals(split: _OpenSplit) -> dict[str, Any]:
    cells = sum(shard["cells"] for shard in split.shards)
    return {"cells": cells, "nonzeros": split.nonzeros, "shards": split.shards}
