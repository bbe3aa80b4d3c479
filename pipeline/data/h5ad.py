"""Reading AnnData on disk (.h5ad) straight through HDF5, with memory of a few bytes per cell at most.

Only what the pipeline needs is read: counts from X, raw/X or a layer, obs columns and names, in every encoding that
anndata has written since 0.7.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.data.csr import CountMatrix as CountMatrix
from pipeline.data.csr import CsrBlock as CsrBlock
from pipeline.data.csr import reading
from pipeline.errors import ExpectedError

LABELS_PER_BLOCK = 65_536  # strings in memory at once (about 100 bytes each)

# What anndata, pandas and R have left in string columns where there was no value.
MISSING_LABELS = frozenset({"", "nan", "NaN", "NA", "None", "<NA>"})
MISSING = -1  # code of a cell without a value
UNMATCHED = -2  # code of a cell whose value the pattern does not match

Names = Literal["obs", "var", "raw/var"]
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Column:
    """An obs column as codes into its labels, in the order of the cells."""

    codes: Codes  # (cells,), MISSING or UNMATCHED where there is no label
    labels: list[str]  # sorted; each occurs
    unmatched: list[str]  # a few of the values that the pattern does not match


@contextmanager
def open_h5ad(path: Path) -> Iterator[Any]:
    """The open HDF5 file; ExpectedError where it is missing, not HDF5, truncated, or not an AnnData."""
    if not path.exists():
        raise ExpectedError(f"{path} not found: check the path, which is relative to the project's root")
    if not path.is_file():
        raise ExpectedError(f"{path} is a folder: expected an .h5ad file (a zarr store has to be written as one)")
    with path.open("rb"):  # a missing permission names itself better here than in HDF5
        pass
    with reading(path):
        file = h5py.File(path, "r")
    with file:
        if not {"obs", "var"} <= set(file):
            raise ExpectedError(
                f"{path} is HDF5 but not an AnnData: found {', '.join(sorted(file)) or 'nothing'}; expected obs and "
                "var beside the counts, as anndata's write_h5ad writes them"
            )
        if not all(isinstance(file[name], h5py.Group) for name in ("obs", "var")):
            raise ExpectedError(
                f"{path} was written by an anndata before 0.7: read it with anndata.read_h5ad and write it again"
            )
        yield file


@contextmanager
def open_counts(path: Path, where: str = "X") -> Iterator[CountMatrix]:
    """The count matrix at `where` (X, raw/X or layers/<name>); ExpectedError where file or place is no good."""
    with open_h5ad(path) as file:
        if where not in _count_places(file):
            raise ExpectedError(f"{path} has no {where}; it has {', '.join(_count_places(file)) or 'no matrix'}")
        yield CountMatrix(file[where], path)


def count_places(path: Path) -> list[str]:
    """Every place in the file that holds a matrix of cells x genes: X, raw/X, layers/<name>."""
    with open_h5ad(path) as file:
        return _count_places(file)


def obs_columns(path: Path) -> list[str]:
    """Names of the obs columns, in the order of the table, without the index."""
    with open_h5ad(path) as file:
        table = file["obs"]
        found = [name for name in table if not name.startswith("__") and name != _index_name(table)]
        order = [str(name) for name in table.attrs.get("column-order", [])]
        return sorted(found, key=lambda name: order.index(name) if name in order else len(order))


def read_column(path: Path, column: str, pattern: str | None = None) -> Column:
    """An obs column (or the index) as labels, or the part of each value that the pattern's one group matches.

    Strings, categoricals, numbers and booleans, with or without a mask of missing values. A whole number stored as
    float is labelled without its fraction (101.0 is "101"): pandas turns integers into floats where one is missing.
    """
    code_of: dict[str, int] = {}
    unmatched: dict[str, None] = {}

    def encode(value: str) -> int:
        if value in MISSING_LABELS:
            return MISSING
        label = value if pattern is None else _part(value, pattern)
        if label is None:
            if len(unmatched) < 5:
                unmatched[value] = None
            return UNMATCHED
        return code_of.setdefault(label, len(code_of))

    with open_h5ad(path) as file:
        if column not in file["obs"]:
            raise ExpectedError(f"{path} has no obs column {column!r}; it has {', '.join(obs_columns(path)) or 'none'}")
        blocks = [_encoded(*block, encode) for block in _value_blocks(file["obs"], column, LABELS_PER_BLOCK, path)]
    codes = np.concatenate([np.zeros(0, np.int32), *blocks])
    labels = sorted(code_of)
    rank = np.empty(len(labels) + 2, np.int32)
    rank[[code_of[label] for label in labels]] = np.arange(len(labels))
    rank[[MISSING, UNMATCHED]] = MISSING, UNMATCHED  # negative codes index from the end
    return Column(rank[codes], labels, list(unmatched))


def obsm_keys(path: Path) -> list[str]:
    """Names of what obsm holds."""
    with open_h5ad(path) as file:
        return list(file.get("obsm", ()))


def read_obsm(path: Path, key: str) -> npt.NDArray[Any] | None:
    """An array of obsm, (cells, dimensions); None where `key` holds something else than an array of numbers."""
    with open_h5ad(path) as file, reading(path):
        node = file["obsm"][key]
        return node[:] if isinstance(node, h5py.Dataset) and node.dtype.kind in "fiu" else None


def read_numbers(path: Path, column: str) -> npt.NDArray[np.float64] | None:
    """An obs column of numbers, (cells,), NaN where one is missing; None where it holds something else."""
    with open_h5ad(path) as file, reading(path):
        node = file["obs"][column]
        values = node.get("values") if isinstance(node, h5py.Group) else node
        if values is None or values.dtype.kind not in "fiu" or "categories" in node.attrs:
            return None
        numbers: npt.NDArray[np.float64] = values[:].astype(np.float64)
        if isinstance(node, h5py.Group) and "mask" in node:
            numbers[node["mask"][:]] = np.nan
        return numbers


def name_blocks(path: Path, axis: Names, rows: int = LABELS_PER_BLOCK) -> Iterator[list[str]]:
    """Cell names (obs) or gene names (var, raw/var), `rows` at a time."""
    with open_h5ad(path) as file:
        if axis not in file or _index_name(file[axis]) not in file[axis]:
            raise ExpectedError(f"{path}: {axis} holds no names: write the file again with anndata's write_h5ad")
        table = file[axis]
        for values, places in _value_blocks(table, _index_name(table), rows, path):
            yield [values[place] if place >= 0 else "" for place in places]


def read_names(path: Path, axis: Names) -> list[str]:
    """All cell names (obs) or gene names (var, raw/var)."""
    return [name for block in name_blocks(path, axis) for name in block]


def _part(value: str, pattern: str) -> str | None:
    match = re.search(pattern, value)
    return match.group(1) or None if match else None


def _encoded(values: list[str], places: npt.NDArray[Any], encode: Callable[[str], int]) -> Codes:
    codes = np.full(len(values) + 1, MISSING, np.int32)  # the last one answers for place -1
    for place in np.unique(places[places >= 0]):  # values that occur; an unused category is not a label
        codes[place] = encode(values[place])
    encoded: Codes = codes[places]
    return encoded


def _value_blocks(table: Any, name: str, rows: int, path: Path) -> Iterator[tuple[list[str], npt.NDArray[Any]]]:
    """A column in blocks of cells: (values, place of each cell's value among them or -1 where it is missing)."""
    node = table[name]
    with reading(path):
        if isinstance(node, h5py.Group) and "codes" in node:
            yield from _categorical_blocks(node["codes"], node["categories"], rows)
        elif isinstance(node, h5py.Group) and "values" in node:
            yield from _array_blocks(node["values"], node.get("mask"), rows)
        elif isinstance(node, h5py.Group):
            raise ExpectedError(f"{path}: {node.name} is not a column of values")
        elif "categories" in node.attrs:  # as anndata 0.7 wrote it: the codes refer to their categories
            yield from _categorical_blocks(node, table.file[node.attrs["categories"]], rows)
        else:
            yield from _array_blocks(node, None, rows)


def _categorical_blocks(codes: Any, categories: Any, rows: int) -> Iterator[tuple[list[str], npt.NDArray[Any]]]:
    if isinstance(categories, h5py.Group):  # nullable strings as categories
        categories = categories["values"]
    values = _texts(categories, slice(None))
    for start in range(0, len(codes), rows):
        yield values, codes[start : start + rows].astype(np.int64)


def _array_blocks(values: Any, mask: Any, rows: int) -> Iterator[tuple[list[str], npt.NDArray[Any]]]:
    for start in range(0, len(values), rows):
        block = slice(start, start + rows)
        texts = _texts(values, block)
        distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        places = np.fromiter(map(distinct.__getitem__, texts), np.int64, len(texts))
        if mask is not None:
            places[mask[block]] = -1
        yield list(distinct), places


def _texts(dataset: Any, block: slice) -> list[str]:
    """Values of a string, number or boolean dataset as text."""
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return [value.decode("utf-8", "replace") for value in dataset[block]]
    values = dataset[block]
    if values.dtype.kind == "f":
        # Not tolist() for the shorter floats, which would print the digits of a double: 0.1 as 0.10000000149011612.
        every = values.tolist() if values.dtype == np.float64 else values
        return [str(int(value)) if value.is_integer() else str(value) for value in every]
    return [str(value) for value in values.tolist()]


def _index_name(table: Any) -> str:
    return str(table.attrs.get("_index", "_index"))


def _count_places(file: Any) -> list[str]:
    layers = [f"layers/{name}" for name in file.get("layers", ())]
    return [
        place for place in ("X", "raw/X", *layers) if place in file and file[place].attrs.get("encoding-type") != "null"
    ]
