"""The operations as TTNN's own reference of them: each one's golden function, its result rounded as it is stored.

Needs no hardware. A tensor is rounded by making it a tensor of TTNN on the host, in tiles of the chosen data type, and
back; a tensor of the program is what came back, in float32, and the data type that it was rounded to.
"""

from typing import Any, NamedTuple

from torch import Tensor

from pipeline.mole.ttnn.ops import DATA_TYPES


class Rounded(NamedTuple):
    """A tensor of a program."""

    value: Tensor
    data_type: str


Operand = Rounded | float


class GoldenOps:
    """Executes a program op by op through `ttnn.get_golden_function`, everything rounded to the data type."""

    def __init__(self, ttnn: Any, data_type: str) -> None:
        if data_type not in DATA_TYPES:
            raise ValueError(f"data type {data_type!r} is none of {', '.join(DATA_TYPES)}")
        self.ttnn, self.data_type = ttnn, data_type

    def place(self, value: Tensor, narrow: bool) -> Rounded:
        return self._rounded(value, "bfloat16" if narrow else self.data_type)

    def linear(
        self,
        x_RI: Rounded,
        weight_IO: Rounded,
        bias_1O: Rounded | None = None,
        *,
        relu: bool = False,
        narrow: bool = False,
    ) -> Rounded:
        bias = None if bias_1O is None else bias_1O.value
        activation = "relu" if relu else None
        y_RO = self._golden("linear")(x_RI.value, weight_IO.value, bias=bias, activation=activation)
        return self._rounded(y_RO, "bfloat16" if narrow else self.data_type)

    def add(self, a: Rounded, b: Operand) -> Rounded:
        return self._binary("add", a, b)

    def subtract(self, a: Rounded, b: Operand) -> Rounded:
        return self._binary("subtract", a, b)

    def multiply(self, a: Rounded, b: Operand) -> Rounded:
        return self._binary("multiply", a, b)

    def below(self, a: Rounded, b: Operand) -> Rounded:
        return self._binary("lt", a, b)

    def mean(self, x: Rounded) -> Rounded:
        return self._unary("mean", x, dim=-1, keepdim=True)

    def largest(self, x: Rounded) -> Rounded:
        return self._unary("max", x, dim=-1, keepdim=True)

    def root(self, x: Rounded) -> Rounded:
        return self._unary("sqrt", x)

    def inverse(self, x: Rounded) -> Rounded:
        return self._unary("reciprocal", x)

    def softmax(self, x: Rounded) -> Rounded:
        return self._unary("softmax", x, dim=-1)

    def reshape(self, x: Rounded, rows: int, columns: int) -> Rounded:
        return self._rounded(self._golden("reshape")(x.value, (rows, columns)), x.data_type)

    def narrow(self, x: Rounded) -> Rounded:
        return self._rounded(x.value, "bfloat16")

    def _golden(self, name: str) -> Any:
        return self.ttnn.get_golden_function(getattr(self.ttnn, name))

    def _unary(self, name: str, x: Rounded, **options: Any) -> Rounded:
        return self._rounded(self._golden(name)(x.value, **options), x.data_type)

    def _binary(self, name: str, a: Rounded, b: Operand) -> Rounded:
        return self._rounded(self._golden(name)(a.value, b.value if isinstance(b, Rounded) else b), a.data_type)

    def _rounded(self, value: Tensor, data_type: str) -> Rounded:
        ttnn = self.ttnn
        stored = ttnn.from_torch(value.float().contiguous(), dtype=getattr(ttnn, data_type), layout=ttnn.TILE_LAYOUT)
        return Rounded(ttnn.to_torch(stored).float(), data_type)
