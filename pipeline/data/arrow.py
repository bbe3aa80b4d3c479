"""Numpy arrays as Arrow columns and back, sharing memory.

pyarrow's own array() and to_numpy() import pandas first: 0.3 s of every stage's start.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

KINDS = {
    np.dtype(np.int32): pa.int32(),
    np.dtype(np.int64): pa.int64(),
    np.dtype(np.float32): pa.float32(),
    np.dtype(np.float64): pa.float64(),
}


def numbers(values: npt.NDArray[Any]) -> pa.Array:
    """int32, int64, float32 or float64 values, (N,), as a column without nulls."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(KINDS[values.dtype], len(values), [None, pa.py_buffer(values)])


def strings(values: Iterable[str]) -> pa.Array:
    """Texts as a column without nulls."""
    texts = list(values)
    content = "".join(texts)
    # In ASCII a character is a byte.
    lengths = map(len, texts) if content.isascii() else (len(text.encode()) for text in texts)
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(lengths, np.int32, len(texts)), out=offsets[1:])
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(content.encode()))


def to_numpy(column: pa.Array) -> npt.NDArray[Any]:
    """The values of a column of numbers without nulls, read-only."""
    return np.from_dlpack(column)
