"""A stand-in for TTNN with a device: computes with torch, notes what is called, and refuses what the device would.

While commands are recorded nothing is computed, as on a device: what a recorded operation makes is NaN until the
commands are replayed. Every tensor is one buffer, which a replay writes again.
"""

# ruff: noqa: ARG002 - the arguments are TTNN's

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch


class Buffer:
    def __init__(self, value: torch.Tensor, dtype: str, memory: Any = None) -> None:
        self.value, self.dtype, self.memory = value, dtype, memory

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    def is_sharded(self) -> bool:
        return isinstance(self.memory, tuple)

    def memory_config(self) -> Any:
        return self.memory


class FakeTtnn:
    bfloat16, bfloat8_b, TILE_LAYOUT = "bfloat16", "bfloat8_b", "tile"
    DRAM_MEMORY_CONFIG, L1_MEMORY_CONFIG = "dram", "l1"
    ShardStrategy = SimpleNamespace(HEIGHT="height")
    ShardOrientation = SimpleNamespace(ROW_MAJOR="row")
    CoreCoord = staticmethod(lambda x, y: (x, y))

    def __init__(self, opens: bool = True) -> None:
        self.opens = opens
        self.calls: list[str] = []
        self.recording: list[Callable[[], None]] | None = None
        self.traces: dict[int, list[Callable[[], None]]] = {}
        self.numbers = itertools.count(1)

    def open_device(self, *, device_id: int, trace_region_size: int) -> Any:
        assert device_id == 0
        assert trace_region_size > 0
        if not self.opens:
            raise RuntimeError("TT_THROW @ build.cpp:291: tt::exception\ninfo:\nsfpi not found\nbacktrace:\n --- main")
        self.calls.append("open_device")
        return SimpleNamespace(compute_with_storage_grid_size=lambda: SimpleNamespace(x=8, y=7))

    def close_device(self, device: Any) -> None:
        assert not self.traces, "a trace was not released"
        self.calls.append("close_device")

    def get_arch_name(self) -> str:
        return "wormhole_b0"

    def synchronize_device(self, device: Any) -> None:
        self.calls.append("synchronize_device")

    def from_torch(self, value: torch.Tensor, *, dtype: str, layout: str) -> Buffer:
        assert layout == self.TILE_LAYOUT
        assert value.ndim == 2
        return Buffer(value.float(), dtype)

    def to_torch(self, tensor: Buffer) -> torch.Tensor:
        assert self.recording is None
        return tensor.value.clone()

    def to_device(self, tensor: Buffer, device: Any, *, memory_config: Any) -> Buffer:
        assert tensor.memory is None
        self.calls.append("to_device")
        return Buffer(tensor.value.clone(), tensor.dtype, memory_config)

    def copy_host_to_device_tensor(self, host: Buffer, device: Buffer) -> None:
        assert host.memory is None
        assert device.memory is not None
        assert (host.shape, host.dtype) == (device.shape, device.dtype)
        self.calls.append("copy")
        device.value.copy_(host.value)

    def begin_trace_capture(self, device: Any, *, cq_id: int) -> int:
        self.recording = []
        return next(self.numbers)

    def end_trace_capture(self, device: Any, trace: int, *, cq_id: int) -> None:
        assert self.recording is not None
        self.traces[trace], self.recording = self.recording, None

    def execute_trace(self, device: Any, trace: int, *, cq_id: int, blocking: bool) -> None:
        self.calls.append("execute_trace")
        for command in self.traces[trace]:
            command()

    def release_trace(self, device: Any, trace: int) -> None:
        del self.traces[trace]

    def num_cores_to_corerangeset(self, cores: int, grid: Any, *, row_wise: bool) -> int:
        assert cores <= grid[0] * grid[1]
        return cores

    def create_sharded_memory_config(
        self, *, shape: tuple[int, int], core_grid: int, strategy: str, orientation: str, **options: bool
    ) -> Any:
        assert options == {"use_height_and_width_as_shard_shape": True}
        assert shape[0] % 32 == shape[1] % 32 == 0
        return ("sharded", core_grid, shape)

    def linear(
        self, x: Buffer, weight: Buffer, *, bias: Any, activation: Any, dtype: str, memory_config: Any
    ) -> Buffer:
        assert not weight.is_sharded()
        assert x.is_sharded() == isinstance(memory_config, tuple), "rows on cores stay on them"

        def compute() -> torch.Tensor:
            y = x.value @ weight.value
            y = y if bias is None else y + bias.value
            return y.relu() if activation == "relu" else y

        return self._made("linear", compute, dtype, memory_config)

    def add(self, a: Buffer, b: Any, **options: Any) -> Buffer:
        return self._binary("add", torch.add, a, b, **options)

    def subtract(self, a: Buffer, b: Any, **options: Any) -> Buffer:
        return self._binary("subtract", torch.sub, a, b, **options)

    def multiply(self, a: Buffer, b: Any, **options: Any) -> Buffer:
        return self._binary("multiply", torch.mul, a, b, **options)

    def lt(self, a: Buffer, b: Any, **options: Any) -> Buffer:
        return self._binary("lt", lambda x, y: (x < y).float(), a, b, **options)

    def mean(self, x: Buffer, *, dim: int, keepdim: bool) -> Buffer:
        return self._unary("mean", lambda value: value.mean(dim, keepdim=keepdim), x)

    def max(self, x: Buffer, *, dim: int, keepdim: bool) -> Buffer:
        return self._unary("max", lambda value: value.amax(dim, keepdim=keepdim), x)

    def softmax(self, x: Buffer, *, dim: int) -> Buffer:
        return self._unary("softmax", lambda value: value.softmax(dim), x)

    def sqrt(self, x: Buffer) -> Buffer:
        return self._unary("sqrt", torch.sqrt, x)

    def reciprocal(self, x: Buffer) -> Buffer:
        return self._unary("reciprocal", torch.reciprocal, x)

    def reshape(self, x: Buffer, shape: tuple[int, int]) -> Buffer:
        return self._unary("reshape", lambda value: value.reshape(shape), x)

    def typecast(self, x: Buffer, dtype: str) -> Buffer:
        return self._made("typecast", lambda: x.value.clone(), dtype, x.memory)

    def to_memory_config(self, x: Buffer, memory: Any) -> Buffer:
        if isinstance(memory, tuple):
            _, cores, (rows, columns) = memory
            assert cores * rows >= x.shape[0]
            assert columns >= x.shape[1]
        return self._made("to_memory_config", lambda: x.value.clone(), x.dtype, memory)

    def _unary(self, name: str, function: Any, x: Buffer) -> Buffer:
        assert not x.is_sharded() or name in ("sqrt", "reciprocal")
        return self._made(name, lambda: function(x.value), x.dtype, x.memory)

    def _binary(self, name: str, function: Any, a: Buffer, b: Any, memory_config: Any = None) -> Buffer:
        if isinstance(b, Buffer):
            assert a.dtype == b.dtype, f"{name} of {a.dtype} and {b.dtype}"
            assert not a.is_sharded() or a.memory == b.memory, f"{name} of tensors that lie differently"
        value = b.value if isinstance(b, Buffer) else b
        return self._made(
            name, lambda: function(a.value, value), a.dtype, a.memory if memory_config is None else memory_config
        )

    def _made(self, name: str, compute: Callable[[], torch.Tensor], dtype: str, memory: Any) -> Buffer:
        self.calls.append(name)
        if self.recording is None:
            return Buffer(compute(), dtype, memory)
        made = Buffer(torch.full_like(compute(), torch.nan), dtype, memory)
        self.recording.append(lambda: made.value.copy_(compute()))
        return made
