"""A table column as labels: equal values give the same text whatever their stored type, missing values give none."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.params.label import label_text

if TYPE_CHECKING:
    from pandas import Series

# Left in string columns by anndata, pandas and R where a value was missing. If the user names one of them (such as a
# control called "None"), it is a label: `missing_but`.
MISSING_TEXTS = frozenset({"", "nan", "NaN", "NA", "None", "<NA>"})
UNKNOWN = "unknown"  # the cell type of cells without one
UNKNOWN_TYPE = int(np.iinfo(np.int32).max)  # a code for them where they are not to count as one type
UNKNOWN_TEXTS = frozenset(text.casefold() for text in (*MISSING_TEXTS, "unassigned", UNKNOWN))  # in any case
MISSING = -1  # code of a cell without a value
UNMATCHED = -2  # code of a cell whose value the pattern does not match

Codes = npt.NDArray[np.int32]
Block = tuple[list[str], npt.NDArray[Any]]  # values as text; the place of each cell's among them, -1 where it has none


@dataclass(frozen=True)
class Column:
    """A column as codes into its labels, in the order of the cells."""

    codes: Codes  # (cells,), MISSING or UNMATCHED where there is no label
    labels: list[str]  # sorted; each occurs
    unmatched: list[str]  # a few of the values that the pattern does not match
    read_as_missing: list[str] = field(default_factory=list)  # the texts that were read as missing

    def missing_texts(self) -> str:
        """For a message: which texts were read as missing."""
        texts = ", ".join(map(repr, self.read_as_missing))
        return f" (read as missing: the text {texts})" if texts else ""

    def texts(self) -> npt.NDArray[np.object_]:
        """The label of each cell, (cells,), "" where there is none."""
        return np.array([*self.labels, "", ""], object)[self.codes]  # negative codes index from the end


def labelled(blocks: Iterable[Block], pattern: str | None = None, missing: frozenset[str] = MISSING_TEXTS) -> Column:
    """Blocks of cells as one column of labels.

    pattern: a regular expression whose one group is the label; missing: texts that mean a missing value.
    """
    code_of: dict[str, int] = {}
    unmatched: dict[str, None] = {}
    met: dict[str, None] = {}  # of the missing ones

    def encode(value: str) -> int:
        if value in missing:
            met[value] = None
            return MISSING
        label = value if pattern is None else _part(value, pattern)
        if label is None:
            if len(unmatched) < 5:
                unmatched[value] = None
            return UNMATCHED
        return code_of.setdefault(label, len(code_of))

    encoded = [np.zeros(0, np.int32)]
    for values, place_N in blocks:
        codes = np.full(len(values) + 1, MISSING, np.int32)  # the last one answers for place -1
        for place in np.unique(place_N[place_N >= 0]):  # values that occur; an unused category is not a label
            codes[place] = encode(values[place])
        encoded.append(codes[place_N])
    labels = sorted(code_of)
    rank = np.empty(len(labels) + 2, np.int32)
    rank[[code_of[label] for label in labels]] = np.arange(len(labels))
    rank[[MISSING, UNMATCHED]] = MISSING, UNMATCHED
    return Column(rank[np.concatenate(encoded)], labels, list(unmatched), sorted(met))


def without_missing(column: Column) -> tuple[Column, int, list[str]]:
    """The column with UNKNOWN in place of what says that there is no label; how many cells, and the texts that say so.

    Cells whose value a pattern does not match stay as they are.
    """
    texts = [label for label in column.labels if says_unknown(label)]
    missing_N = np.isin(column.codes, [MISSING, *(column.labels.index(text) for text in texts)])
    if not missing_N.any():
        return column, 0, []
    labels = sorted({UNKNOWN, *column.labels} - ({*texts} - {UNKNOWN}))
    new_L = [labels.index(UNKNOWN if label in texts else label) for label in column.labels]
    codes = np.array([*new_L, UNMATCHED, labels.index(UNKNOWN)], np.int32)[column.codes]  # -1 and -2 index from the end
    return Column(codes, labels, column.unmatched), int(missing_N.sum()), sorted({*texts, *column.read_as_missing})


def joined(columns: Sequence[Column]) -> Column:
    """Columns of several files as one, with the labels of all, sorted."""
    if len(columns) == 1:
        return columns[0]
    labels = sorted({label for column in columns for label in column.labels})
    code_of = {label: code for code, label in enumerate(labels)}
    codes = [  # negative codes index from the end
        np.array([*(code_of[label] for label in column.labels), UNMATCHED, MISSING], np.int32)[column.codes]
        for column in columns
    ]
    return Column(np.concatenate(codes), labels, [text for column in columns for text in column.unmatched])


def says_unknown(label: str) -> bool:
    """Whether a cell type is a word for none."""
    return label.strip().casefold() in UNKNOWN_TEXTS


def missing_but(label: str) -> frozenset[str]:
    """The texts that mean a missing value where this label is asked for by name."""
    return MISSING_TEXTS - {label}


def distinct(texts: list[str], missing_N: npt.NDArray[np.bool_] | None = None) -> Block:
    """Cells' texts (N) as their distinct values and the place of each cell's among them."""
    place_of = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    places = np.fromiter(map(place_of.__getitem__, texts), np.int64, len(texts))
    if missing_N is not None:
        places[missing_N] = -1
    return list(place_of), places


def block_of_series(series: "Series[Any]") -> Block:
    """A column in memory."""
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        return as_texts(series.cat.categories.to_numpy()), series.cat.codes.to_numpy(np.int64)
    missing_N = series.isna().to_numpy(bool)
    values = series.to_numpy() if isinstance(series.dtype, np.dtype) else series.to_numpy(object)
    return distinct(as_texts(values), missing_N)


def as_texts(values: npt.NDArray[Any]) -> list[str]:
    """Numbers, booleans or texts as text."""
    # Not tolist() for the shorter floats, which would print the digits of a double: 0.1 as 0.10000000149011612.
    every = values if values.dtype.kind == "f" and values.dtype != np.float64 else values.tolist()
    return [label_text(value) for value in every]


def _part(value: str, pattern: str) -> str | None:
    match = re.search(pattern, value)
    return match.group(1) or None if match else None
