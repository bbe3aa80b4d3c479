"""The operations as plain torch in float32: what the programs compute before anything is rounded."""

from torch import Tensor

Operand = Tensor | float


class TorchOps:
    """Executes a program on tensors of torch, in whatever type they have."""

    def place(self, value: Tensor, narrow: bool) -> Tensor:  # noqa: ARG002 - there is one data type
        return value

    def linear(
        self,
        x_RI: Tensor,
        weight_IO: Tensor,
        bias_1O: Tensor | None = None,
        *,
        relu: bool = False,
        narrow: bool = False,  # noqa: ARG002
    ) -> Tensor:
        y_RO = x_RI @ weight_IO
        if bias_1O is not None:
            y_RO = y_RO + bias_1O
        return y_RO.relu() if relu else y_RO

    def add(self, a: Tensor, b: Operand) -> Tensor:
        return a + b

    def subtract(self, a: Tensor, b: Operand) -> Tensor:
        return a - b

    def multiply(self, a: Tensor, b: Operand) -> Tensor:
        return a * b

    def below(self, a: Tensor, b: Operand) -> Tensor:
        return (a < b).to(a.dtype)

    def mean(self, x: Tensor) -> Tensor:
        return x.mean(-1, keepdim=True)

    def largest(self, x: Tensor) -> Tensor:
        return x.amax(-1, keepdim=True)

    def root(self, x: Tensor) -> Tensor:
        return x.sqrt()

    def inverse(self, x: Tensor) -> Tensor:
        return x.reciprocal()

    def softmax(self, x: Tensor) -> Tensor:
        return x.softmax(-1)

    def reshape(self, x: Tensor, rows: int, columns: int) -> Tensor:
        return x.reshape(rows, columns)

    def narrow(self, x: Tensor) -> Tensor:
        return x
