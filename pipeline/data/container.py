"""Checked access to a group or an array of an untrusted file: everything that is read goes through here.

Decoding damaged bytes can raise almost any exception, and a file may declare sizes that no machine has. Only calls into
the library are made inside `reading`, so an exception there means that the file is damaged.
"""

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError, expected_error

BYTES_PER_TEXT = 100  # of a Python string in a list, about

_DECODING = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError, zlib.error)


class Node(ABC):
    """A group or an array of an open file."""

    def __init__(self, raw: Any, path: Path) -> None:
        """raw: the library's own object; path: of the file, for messages."""
        self._raw, self.path = raw, path

    @property
    @abstractmethod
    def is_group(self) -> bool:
        """Otherwise it is an array."""

    @abstractmethod
    def get(self, name: str) -> "Node | None":
        """What is under this name, or path of names; None where nothing is. ExpectedError where it leaves the file."""

    @property
    @abstractmethod
    def is_text(self) -> bool:
        """Whether it is an array of texts."""

    def referred(self, reference: Any) -> "Node | None":  # noqa: ARG002
        """The target of an object reference; None where it has none in this file."""
        return None

    def __getitem__(self, name: str) -> "Node":
        """What is there; ExpectedError where there is nothing."""
        found = self.get(name)
        if found is None:
            raise self.damaged(f"it lacks {name!r}")
        return found

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def held(self) -> list[str]:
        """Names of what a group holds; none of an array."""
        if not self.is_group:
            return []
        with reading(self.path):
            return [str(name) for name in self._raw]

    def attr(self, name: str) -> Any:
        """An attribute, its texts as str and arrays as lists; None where there is no such attribute."""
        with reading(self.path):
            if name not in self._raw.attrs:
                return None
            self._check_attribute(name)
            return _plain(self._raw.attrs[name])

    def _check_attribute(self, name: str) -> None:  # noqa: B027 - most containers have nothing to check
        """ExpectedError where the attribute is of a type that is not safe to read."""

    @property
    def name(self) -> str:
        """Its place in the file."""
        return str(self._raw.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an array; () of a group, which has none."""
        return () if self.is_group else tuple(self._raw.shape or ())

    @property
    def dtype(self) -> Any:
        """numpy type of an array's values."""
        with reading(self.path):
            return self._raw.dtype

    @property
    def rows(self) -> int:
        """Of an array; ExpectedError where it is none."""
        if not self.shape:
            raise self.damaged("expected an array of values")
        return self.shape[0]

    def read(self, start: int = 0, stop: int | None = None) -> npt.NDArray[Any]:
        """Rows of an array, all by default; ExpectedError where they cannot be read, or would not fit into this
        machine's memory."""
        last = self.rows if stop is None else min(stop, self.rows)
        values = max(last - start, 0) * int(np.prod(self.shape[1:], dtype=object))
        size = values * (BYTES_PER_TEXT if self.is_text else self.dtype.itemsize)
        if size > memory():
            raise self.damaged(f"it claims {values:,} values, {size / 1e9:,.0f} GB, which this machine's memory lacks")
        with reading(self.path):
            return self._values(start, last)

    def _values(self, start: int, stop: int) -> npt.NDArray[Any]:
        return np.asarray(self._raw[start:stop])

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Rows of an array of texts."""
        values = self.read(start, stop).tolist()
        try:  # all at once: HDF5's texts end at their first NUL
            texts = b"\0".join(values).decode("utf-8", "replace").split("\0")
        except TypeError:
            texts = []
        if len(texts) == len(values):
            return texts
        return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]

    def text(self) -> str:
        """The one text that a scalar holds."""
        with reading(self.path):
            return str(_plain(self._raw[()]))

    def damaged(self, detail: str) -> ExpectedError:
        """The error for a file that contradicts itself."""
        return ExpectedError(f"{self.path}: {self.name} is damaged: {detail}; fetch or write the file again")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a library's exceptions about a file's content into an ExpectedError; for reads, never for writes."""
    try:
        yield
    except _DECODING as error:
        if isinstance(error, OSError) and expected_error(error) is not None:
            raise
        detail = " ".join(str(error).split())
        if "truncated" in detail:
            raise ExpectedError(f"{path} is truncated, a copy that broke off: fetch or write it again") from error
        raise ExpectedError(f"{path} is damaged, it cannot be read ({detail}): fetch or write it again") from error


def memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if getattr(value, "shape", ()) is None else value  # the latter: HDF5's "empty"
