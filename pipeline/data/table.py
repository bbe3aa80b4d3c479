"""A data frame on disk, as anndata has written it since 0.7, read column by column and in blocks of rows."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.data.columns import Block, as_texts, distinct
from pipeline.data.container import Node

if TYPE_CHECKING:
    from pandas import DataFrame

ROWS_PER_BLOCK = 65_536  # strings in memory at once (about 100 bytes each)
MOST_UNUSED = 1_000_000  # categories that a column may declare beyond its number of rows


class Table:
    """obs, var or a table of obsm in an open file."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.index = str(node.attr("_index") or "_index")

    @cached_property
    def rows(self) -> int:
        """Number of rows, that of the index."""
        if not self._node.is_group or self.index not in self._node:
            place = self._node.name.lstrip("/")
            raise ExpectedError(
                f"{self._node.path}: {place} holds no names: write the file again with anndata's write_h5ad"
            )
        codes, _ = self._categorical(self.index)
        return (_inner(self._node[self.index]) if codes is None else codes).rows

    def columns(self) -> list[str]:
        """In the table's stated order, including names with a slash; without one, in the order of the file."""
        order = self._node.attr("column-order")
        if order is None:
            return [name for name in self._node.held() if not name.startswith("__") and name != self.index]
        names = [order] if isinstance(order, str) else [str(name) for name in order]
        return [name for name in names if name in self._node]

    def blocks(self, name: str, rows: int = ROWS_PER_BLOCK) -> Iterator[Block]:
        """A column, or the index, as text in blocks of rows; ExpectedError where it has not one value per row."""
        every, node = self.rows, self._node[name]
        codes, categories = self._categorical(name)
        if codes is not None and categories is not None:
            yield from self._coded(codes, _inner(categories), every, rows)
            return
        values, mask = _inner(node), node.get("mask") if node.is_group else None
        if values.rows != every or (mask is not None and mask.rows != every):
            raise node.damaged(f"it has not one value for each of {every:,} rows")
        for start in range(0, every, rows):
            missing_N = None if mask is None else mask.read(start, start + rows).astype(bool)
            if mask is None and values.dtype.kind == "f":
                missing_N = np.isnan(values.read(start, start + rows))
            yield distinct(_texts(values, start, start + rows), missing_N)

    def numbers(self, name: str) -> npt.NDArray[np.float64] | None:
        """A column of numbers, (rows,), NaN where one is missing; None where it holds something else."""
        node = self._node[name]
        values = node.get("values") if node.is_group else node
        if (
            values is None
            or values.is_group
            or values.dtype.kind not in "fiu"
            or self._categorical(name)[0] is not None
        ):
            return None
        numbers: npt.NDArray[np.float64] = values.read().astype(np.float64)
        mask = node.get("mask") if node.is_group else None
        if mask is not None:
            numbers[mask.read().astype(bool)] = np.nan
        return numbers

    def frame(self) -> "DataFrame":
        """The whole table, each column in its pandas type."""
        import pandas as pd

        names = [values[place] for values, places in self.blocks(self.index) for place in places.tolist()]
        index = pd.Index(names, dtype=object, name=None if self.index == "_index" else self.index)
        return pd.DataFrame({name: self._values(name) for name in self.columns()}, index=index)

    def _values(self, name: str) -> Any:
        import pandas as pd

        node = self._node[name]
        codes, categories = self._categorical(name)
        blocks = list(self.blocks(name))
        if codes is not None and categories is not None and blocks:
            inner = _inner(categories)
            labels: Any = blocks[0][0] if inner.is_text else inner.read()
            places: Any = np.concatenate([places for _, places in blocks])
            return pd.Categorical.from_codes(places, labels, ordered=bool(node.attr("ordered")))
        values, mask = _inner(node), node.get("mask") if node.is_group else None
        if values.is_text:
            texts = [[*block, None][place] for block, places in blocks for place in places.tolist()]
            return np.array(texts, object)
        if mask is None:
            return values.read()
        array = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}.get(
            values.dtype.kind, pd.arrays.IntegerArray
        )
        return array(values.read(), mask.read().astype(bool))

    def _coded(self, codes: Node, categories: Node, every: int, rows: int) -> Iterator[Block]:
        if codes.rows != every or codes.dtype.kind not in "iu":
            raise codes.damaged(f"it has not one code for each of {every:,} rows")
        if categories.rows > every + MOST_UNUSED:
            raise categories.damaged(f"it claims {categories.rows:,} categories of {every:,} rows")
        values = _texts(categories, 0, None)
        if len(set(values)) < len(values):
            raise categories.damaged("it names a category twice")
        for start in range(0, every, rows):
            places = codes.read(start, start + rows).astype(np.int64)
            if len(places) and not -1 <= places.min() <= places.max() < len(values):
                raise codes.damaged(f"it has codes beyond its {len(values):,} categories, near row {start}")
            yield values, places

    def _categorical(self, name: str) -> tuple[Node | None, Node | None]:
        """Codes and categories of a column; None and None where it is not categorical.

        As anndata 0.7 wrote it, the codes refer to their categories in __categories; a copy may have lost the reference
        and kept the categories.
        """
        node = self._node[name]
        if node.is_group:
            return (node["codes"], node["categories"]) if "codes" in node else (None, None)
        reference, by_name = node.attr("categories"), self._node.get(f"__categories/{name}")
        if reference is None and (by_name is None or node.dtype.kind not in "iu"):
            return None, None
        categories = node.referred(reference) or by_name
        if categories is None:
            raise ExpectedError(
                f"{node.path}: {node.name} is stored as codes whose categories are lost, so its labels are not known: "
                "write the column again as text"
            )
        return node, categories


def _inner(node: Node) -> Node:
    """The values of a nullable array, or the array itself."""
    found = node.get("values") if node.is_group else node
    if found is None or found.is_group:
        raise ExpectedError(f"{node.path}: {node.name} is not a column of values")
    return found


def _texts(node: Node, start: int, stop: int | None) -> list[str]:
    if node.is_text:
        return node.texts(start, stop)
    if node.dtype.kind not in "fiub":
        raise ExpectedError(f"{node.path}: {node.name} holds neither texts nor numbers but {node.dtype}")
    return as_texts(node.read(start, stop))
