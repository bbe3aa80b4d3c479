"""Numbers of a series as text: which decimal mark they have, and what is no number. T: rows, C: channels."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.wording import counted, listed, quoted
from pipeline.data.source import Findings
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.table import Table

# In small letters: no number, and no text either. The last ones are a spreadsheet's.
MISSING = frozenset(
    (
        *("", "-", "--", "---", ".", "?", "na", "n.a", "n.a.", "n/a", "nan", "-nan", "nil", "null", "none", "<na>"),
        *("missing", "nat", "#n/a", "#n/a n/a", "#na", "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!"),
    )
)
_COMMA = r"^[+-]?\d*,\d+([eE][+-]?\d+)?$"
_POINT = r"^[+-]?\d*\.\d+([eE][+-]?\d+)?$"
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # or a decimal comma before three digits


def read_values(
    file: Table,
    channels: Sequence[str],
    options: CsvOptions,
    findings: Findings,
    rows: int | None = None,
    what: str = "channel",
) -> npt.NDArray[np.float64] | None:
    """The numbers of all channels, (T, C), or of the first `rows`; None, and problems, where there is text, or a value
    is missing. what: they are called."""
    texts = {name: file.text(name)[:rows] for name in channels}
    decimal = options.decimal or _decimal(texts, options, findings, what)
    if decimal is None:
        return None
    columns: list[npt.NDArray[np.float64]] = []
    told: dict[str, list[str]] = {"text": [], "no value": [], "an infinite value": []}
    for name, column in texts.items():
        value_T, text_T = _numbers(column, decimal)
        columns.append(value_T)
        for kind, where_T in zip(told, (text_T, np.isnan(value_T) & ~text_T, np.isinf(value_T)), strict=True):
            if where_T.any():
                row = int(np.argmax(where_T))
                value = column[row].as_py()
                told_value = kind == "text" or (kind == "no value" and value.lower() not in ("", "nan"))
                first = f"first {quoted(value)} in line" if told_value else "first in line"
                number = counted(int(where_T.sum()), "row")
                told[kind].append(f"{quoted(name)} ({number}, {first} {file.line(row, name):,})")
    mark = {".": "decimal point", ",": "decimal comma"}[decimal]
    mends = {
        "text": f"write numbers with a {mark} and nothing else ({options.key('decimal')} sets the mark)",
        "no value": "fill the values in",
        "an infinite value": "put the value that was measured",
    }
    if what == "channel":  # without the others nothing is known of the future
        mends["no value"] += ", drop the rows at either end"
        mends = {kind: f"{mend}, or leave the column out" for kind, mend in mends.items()}
    else:
        mends["text"] += ", such as 0 and 1 for no and yes"
    for kind, found in told.items():
        if found:
            where = f"{counted(len(found), what)} with {kind}"
            findings.problem(where, listed(found, 5), "a finite number in every row", mends[kind])
    return np.column_stack(columns) if columns and not any(told.values()) else None


def missing(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where a column of text has no value, (T,)."""
    found: npt.NDArray[np.bool_] = pc.is_in(pc.utf8_lower(column), value_set=pa.array(sorted(MISSING))).to_numpy()
    return found


def is_text(column: pa.ChunkedArray) -> bool:
    """Whether no value of a column is a number, with either decimal mark."""
    return all((_numbers(column, mark)[1] | missing(column)).all() for mark in (".", ","))


def _decimal(texts: dict[str, pa.ChunkedArray], options: CsvOptions, findings: Findings, what: str) -> str | None:
    """A comma where there are numbers with one and none with a point; None, and a problem, if it may be something else.

    1,234 is one and a bit, or more than a thousand: it says nothing of the mark where no other number has a comma.
    """
    commas: list[tuple[str, str]] = []
    for name, column in texts.items():
        if pc.any(pc.match_substring_regex(column, _POINT)).as_py():
            return "."
        found = column.filter(pc.match_substring_regex(column, _COMMA)).to_pylist()
        clear = [text for text in found if not _THOUSANDS.fullmatch(text)]
        commas += [(name, text) for text in (clear or found)[:1]]
    if not commas:
        return "."
    name, text = next((each for each in commas if not _THOUSANDS.fullmatch(each[1])), commas[0])
    if _THOUSANDS.fullmatch(text):
        found_ = f"numbers such as {text!r}, with a comma before three digits in all of them"
        mend = f"set {options.key('decimal')} to ',' if it is a decimal comma; else write the numbers without it"
        findings.problem(f"{what} {quoted(name)}", found_, "numbers that can be read in one way", mend)
        return None
    findings.notes.append(f"numbers read with a decimal comma (first {text!r}): {options.key('decimal')} sets the mark")
    return ","


def _numbers(column: pa.ChunkedArray, decimal: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Numbers, NaN where there is none, and where there is text instead."""
    pointed_T = np.zeros(len(column), bool)
    if decimal == ",":  # a point is then a mark between thousands, or a date
        pointed_T = pc.match_substring(column, ".").to_numpy()
        pointed_T &= ~missing(column)
        column = pc.replace_substring(column, ",", ".")
    try:
        return pc.cast(column, pa.float64()).to_numpy(), pointed_T
    except pa.ArrowInvalid:
        value_T, text_T = _one_by_one(column.to_pylist())
        return value_T, text_T | pointed_T


def _one_by_one(texts: list[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    value_T, text_T = np.full(len(texts), np.nan), np.zeros(len(texts), bool)
    for row, text in enumerate(texts):
        if text.lower() in MISSING:
            continue
        try:
            value_T[row] = float(text)
            text_T[row] = "_" in text  # 1_000 is a number in Python only
        except ValueError:
            text_T[row] = True
    return value_T, text_T
