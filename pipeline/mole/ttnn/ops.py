"""The few operations that the programs are made of.

All tensors have two axes, and hardware stores them in tiles of 32 x 32. A *narrow* tensor has fewer columns than a tile
and stays in bfloat16 whatever the data type: in bfloat8_b, 16 neighbours in a row share an exponent, and what fills up
the tile would take it from the values. R, I, O: rows, columns of the input, columns of the output.
"""

from typing import Any, Protocol

from torch import Tensor

TILE = 32
DATA_TYPES = ("bfloat16", "bfloat8_b")  # of weights and wide tensors; narrow ones and inputs are bfloat16


class Places(Protocol):
    """What takes a tensor of the host to where operations want it."""

    def place(self, value: Tensor, narrow: bool) -> Any:
        """The tensor there, rounded to the chosen data type, or to bfloat16."""


class Ops(Places, Protocol):
    """What executes a program. Its tensors are its own; the result has the data type of the first argument."""

    def linear(
        self, x_RI: Any, weight_IO: Any, bias_1O: Any = None, *, relu: bool = False, narrow: bool = False
    ) -> Any:
        """x @ weight + bias, then max(·, 0) where asked for, in the chosen data type or in bfloat16."""

    def add(self, a: Any, b: Any) -> Any:
        """a + b; b is a tensor as large, or with one row or one column, or a number."""

    def subtract(self, a: Any, b: Any) -> Any:
        """a - b, likewise."""

    def multiply(self, a: Any, b: Any) -> Any:
        """a * b, likewise."""

    def below(self, a: Any, b: Any) -> Any:
        """1 where a < b, else 0, likewise."""

    def mean(self, x: Any) -> Any:
        """The mean of each row, as one column."""

    def largest(self, x: Any) -> Any:
        """The largest value of each row, as one column."""

    def root(self, x: Any) -> Any:
        """The square root."""

    def inverse(self, x: Any) -> Any:
        """1 / x."""

    def softmax(self, x: Any) -> Any:
        """Of each row."""

    def reshape(self, x: Any, rows: int, columns: int) -> Any:
        """The same values in the same order."""

    def narrow(self, x: Any) -> Any:
        """The same values in bfloat16."""
