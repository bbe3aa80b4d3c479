"""The operations as bookkeeping: what a program computes and moves, without computing or moving it.

Tensors are stored in whole tiles of 32 x 32, so that is what is counted: filling is moved and multiplied like the rest.
A tile of bfloat16 has 2,048 bytes; one of bfloat8_b 1,088: a byte for each value and one exponent for every 16.
Every operation reads its tensors from memory and writes its result there, nothing is kept in between.
"""

from typing import NamedTuple

from torch import Tensor

from pipeline.mole.ttnn.ops import TILE

TILE_BYTES = {"bfloat16": TILE * TILE * 2, "bfloat8_b": TILE * TILE + TILE * TILE // 16}


class Sized(NamedTuple):
    """A tensor that has a shape and a data type only."""

    rows: int
    columns: int
    data_type: str

    @property
    def tiles(self) -> int:
        """How many it fills, the last of a row or column perhaps in part."""
        return -(-self.rows // TILE) * -(-self.columns // TILE)

    @property
    def bytes(self) -> int:
        """What it takes up in memory."""
        return self.tiles * TILE_BYTES[self.data_type]


Operand = Sized | float


class CountOps:
    """Executes a program on shapes. `flops` and `bytes` are the sums over what was executed so far."""

    def __init__(self, data_type: str) -> None:
        self.data_type = data_type
        self.flops = 0
        self.bytes = 0

    def place(self, value: Tensor, narrow: bool) -> Sized:
        rows, columns = value.shape
        return Sized(rows, columns, "bfloat16" if narrow else self.data_type)

    def linear(
        self,
        x_RI: Sized,
        weight_IO: Sized,
        bias_1O: Sized | None = None,
        *,
        relu: bool = False,  # noqa: ARG002 - done on the way
        narrow: bool = False,
    ) -> Sized:
        y_RO = Sized(x_RI.rows, weight_IO.columns, "bfloat16" if narrow else self.data_type)
        inner = -(-x_RI.columns // TILE) * TILE
        self.flops += 2 * y_RO.tiles * TILE * TILE * inner
        return self._moved(y_RO, x_RI, weight_IO, *([] if bias_1O is None else [bias_1O]))

    def add(self, a: Sized, b: Operand) -> Sized:
        return self._each(a, b)

    def subtract(self, a: Sized, b: Operand) -> Sized:
        return self._each(a, b)

    def multiply(self, a: Sized, b: Operand) -> Sized:
        return self._each(a, b)

    def below(self, a: Sized, b: Operand) -> Sized:
        return self._each(a, b)

    def mean(self, x: Sized) -> Sized:
        return self._to_column(x)

    def largest(self, x: Sized) -> Sized:
        return self._to_column(x)

    def root(self, x: Sized) -> Sized:
        return self._each(x)

    def inverse(self, x: Sized) -> Sized:
        return self._each(x)

    def softmax(self, x: Sized) -> Sized:
        self.flops += 3 * x.tiles * TILE * TILE  # beside the one counted for each value: maximum, sum, quotient
        return self._each(x)

    def reshape(self, x: Sized, rows: int, columns: int) -> Sized:
        return self._moved(Sized(rows, columns, x.data_type), x)

    def narrow(self, x: Sized) -> Sized:
        y = x._replace(data_type="bfloat16")
        return y if y == x else self._moved(y, x)

    def _each(self, a: Sized, b: Operand | None = None) -> Sized:
        self.flops += a.tiles * TILE * TILE
        return self._moved(a, a, *([b] if isinstance(b, Sized) else []))

    def _to_column(self, x: Sized) -> Sized:
        self.flops += x.tiles * TILE * TILE
        return self._moved(x._replace(columns=1), x)

    def _moved(self, result: Sized, *read: Sized) -> Sized:
        self.bytes += result.bytes + sum(tensor.bytes for tensor in read)
        return result
