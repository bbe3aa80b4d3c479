"""Dictionaries of arrays, lists and texts in pickle's format, read without `pickle`: nothing that they name is called.

The file's instructions are parsed by `pickletools`, which executes none. Of the many that pickle has, those are
followed that build lists, tuples, dictionaries, numbers and texts, and arrays of unsigned bytes as numpy writes them.
Everything else is refused, so that a file can do no more than be read.
"""

import math
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

_ARRAY, _DTYPE, _ENCODE = "array", "dtype", "encode"
_GLOBALS = {
    "numpy.core.multiarray _reconstruct": _ARRAY,  # as numpy before 2 writes it, and from 2 on
    "numpy._core.multiarray _reconstruct": _ARRAY,
    "numpy dtype": _DTYPE,
    "numpy ndarray": "ndarray",
    "_codecs encode": _ENCODE,  # how Python 3 writes bytes in protocols of Python 2: as a text of these code points
}
_BYTES = ("u1", "|u1", b"u1", b"|u1")
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "INT", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "UNICODE"}
_VALUES |= {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NEW: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class UnknownPickleError(ValueError):
    """The content is no pickle, or holds something else than plain data; the text says what."""


class _Named(str):
    """A global that the format has: its name, never the thing."""


class _Array:
    """An array whose content is yet to come, or its type."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.value: npt.NDArray[np.uint8] | None = None


def read_plain_pickle(content: bytes) -> Any:
    """What it holds; texts of Python 2 are bytes. UnknownPickleError."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return _finished(stack.pop())
            _follow(opcode.name, argument, stack, memo)
    except UnknownPickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UnknownPickleError(f"it is damaged ({error})") from None
    raise UnknownPickleError("it is truncated")


def _follow(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """One instruction on the stack."""
    if name in _VALUES:
        stack.append(argument)
    elif name in ("SHORT_BINSTRING", "BINSTRING"):
        stack.append(argument.encode("latin-1"))  # bytes, which pickletools gives as text
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _NEW:
        stack.append(_NEW[name]())
    elif name == "MARK":
        stack.append(_MARK)
    elif name == "TUPLE":
        stack.append(tuple(_from_mark(stack)))
    elif name in _TUPLES:
        stack.append(tuple(_last(stack, _TUPLES[name])))
    elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[int(argument)] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[int(argument)])
    elif name in ("APPEND", "APPENDS"):
        items = _from_mark(stack) if name == "APPENDS" else _last(stack, 1)
        _of_type(stack[-1], list).extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _from_mark(stack) if name == "SETITEMS" else _last(stack, 2)
        _of_type(stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        _push_global(argument if name == "GLOBAL" else " ".join(_last(stack, 2)), stack)
    elif name == "REDUCE":
        function, given = _last(stack, 2)
        if function == _DTYPE and given[0] not in _BYTES:
            raise UnknownPickleError(f"it holds an array of type {given[0]!r:.40}, not of unsigned bytes")
        stack.append(_bytes_of(given) if function == _ENCODE else _Array(_of_type(function, _Named)))
    elif name == "BUILD":
        (state,) = _last(stack, 1)
        _build(_of_type(stack[-1], _Array), state)
    elif name not in ("PROTO", "FRAME"):
        raise UnknownPickleError(f"it holds the instruction {name}, which plain data have no use for")


def _bytes_of(given: Any) -> bytes:
    """The bytes that a text of code points up to 255 stands for."""
    text, code = _of_type(given, tuple)
    if code != "latin1":
        raise UnknownPickleError(f"it holds bytes in the code {code!r:.40}, not in latin1")
    encoded: bytes = _of_type(text, str).encode("latin-1")
    return encoded


def _push_global(name: str, stack: list[Any]) -> None:
    if name not in _GLOBALS:
        raise UnknownPickleError(f"it names {name.replace(' ', '.')[:100]!r}, which is no part of plain data")
    stack.append(_Named(_GLOBALS[name]))


def _build(array: _Array, state: Any) -> None:
    """The state of an array: version, shape, type, whether in Fortran's order, and its bytes. That of a type is its
    byte order and so on, of no meaning for bytes."""
    if array.what != _ARRAY:
        return
    _, shape, kind, fortran, values = state
    if not isinstance(kind, _Array) or kind.what != _DTYPE or fortran or not isinstance(values, bytes):
        raise UnknownPickleError("it holds an array of another form than rows of unsigned bytes")
    if len(values) != math.prod(shape):
        raise UnknownPickleError(f"it holds an array of {len(values):,} bytes where its shape asks for another number")
    array.value = np.frombuffer(values, np.uint8).reshape(shape)


def _finished(value: Any) -> Any:
    """With arrays in place of what they were built by, where they are the value itself or one of a dictionary."""
    if isinstance(value, dict):
        return {key: _array(one) for key, one in value.items()}
    return _array(value)


def _array(value: Any) -> Any:
    if isinstance(value, _Array) and value.value is None:
        raise UnknownPickleError("it holds an array without content")
    return value.value if isinstance(value, _Array) else value


def _from_mark(stack: list[Any]) -> list[Any]:
    place = len(stack) - 1 - stack[::-1].index(_MARK)
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _last(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count:
        raise UnknownPickleError("it is damaged (an instruction lacks its values)")
    items = stack[-count:]
    del stack[-count:]
    return items


def _of_type(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        raise UnknownPickleError("it is damaged (an instruction has values of another type)")
    return value
