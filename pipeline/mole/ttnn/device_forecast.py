"""A program on a device, ready for one minibatch after the other: weights moved once, commands recorded and replayed.

Letters as in pipeline/mole/ttnn/programs.py. As pipeline/mole/ttnn/device_ops.py, not yet run on a card.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from pipeline.mole.ttnn.device_ops import DeviceOps
from pipeline.mole.ttnn.programs import Plan, forecast, place_constants, place_inputs

TRACE_BYTES = 16 * 2**20  # of the device's DRAM, for recorded commands


@contextmanager
def opened_device(ttnn: Any) -> Iterator[Any]:
    """The first device, with room for a trace; closed in the end."""
    device = ttnn.open_device(device_id=0, trace_region_size=TRACE_BYTES)
    try:
        yield device
    finally:
        ttnn.close_device(device)


class DeviceForecast:
    """A mixture for minibatches of one size: called with a minibatch on the host, it answers on the host.

    The first call compiles the kernels. With `trace`, the second one's commands are recorded, and every later minibatch
    is copied to where that one lay and the commands replayed, which spares the host from issuing them one by one.
    """

    def __init__(
        self,
        ttnn: Any,
        device: Any,
        plan: Plan,
        constants: Mapping[str, Tensor],
        data_type: str,
        memory: str,
        trace: bool,
    ) -> None:
        self.ttnn, self.device, self.plan, self.trace = ttnn, device, plan, trace
        self.ops = DeviceOps(ttnn, device, data_type, memory)
        self.constants = place_constants(self.ops, plan, constants)
        self.inputs: tuple[Any, Any] | None = None
        self.recorded: Any = None
        self.results: tuple[Any, Any] | None = None

    def __call__(self, x_BCL: Tensor, mark_BF: Tensor) -> tuple[Tensor, Tensor | None]:
        """(y_RH, weight_RE) in float32, everything from tensors of the host to tensors of the host."""
        if self.inputs is None:
            self.inputs = place_inputs(self.ops, self.plan, x_BCL, mark_BF)
            results = self._run()
            if self.trace:
                self._record()
            return self._read(results)
        self._copy(x_BCL, mark_BF)
        if self.trace:
            self.ttnn.execute_trace(self.device, self.recorded, cq_id=0, blocking=False)
            assert self.results is not None
            return self._read(self.results)
        return self._read(self._run())

    def close(self) -> None:
        """Give the recorded commands' memory back."""
        if self.recorded is not None:
            self.ttnn.release_trace(self.device, self.recorded)
            self.recorded = None

    def _run(self) -> tuple[Any, Any]:
        assert self.inputs is not None
        return forecast(self.ops, self.plan, self.constants, *self.inputs)

    def _record(self) -> None:
        self.ttnn.synchronize_device(self.device)
        self.recorded = self.ttnn.begin_trace_capture(self.device, cq_id=0)
        self.results = self._run()
        self.ttnn.end_trace_capture(self.device, self.recorded, cq_id=0)

    def _copy(self, x_BCL: Tensor, mark_BF: Tensor) -> None:
        assert self.inputs is not None
        on_host = place_inputs(_OnHost(self.ops), self.plan, x_BCL, mark_BF)
        for host, device in zip(on_host, self.inputs):  # noqa: B905 - two each
            self.ttnn.copy_host_to_device_tensor(host, device)

    def _read(self, results: tuple[Any, Any]) -> tuple[Tensor, Tensor | None]:
        y_RH, weight_RE = results
        return self.ttnn.to_torch(y_RH).float(), None if weight_RE is None else self.ttnn.to_torch(weight_RE).float()


class _OnHost:
    """Places tensors on the host, in the form in which they are copied to a device."""

    def __init__(self, ops: DeviceOps) -> None:
        self.place = ops.host
