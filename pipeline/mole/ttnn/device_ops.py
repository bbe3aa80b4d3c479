"""The operations on a device that TTNN has opened: silicon, or Tenstorrent's simulator.

Written against the Python interface of ttnn 0.81.1 and tested with a stand-in of it; no card was at hand, so nothing
here has run on one. R, I, O as in pipeline/mole/ttnn/ops.py.
"""

from typing import Any

from torch import Tensor

from pipeline.mole.ttnn.ops import DATA_TYPES, TILE

# Where wide tensors lie: interleaved over the banks of DRAM or of the cores' L1, or each core's rows in its own L1.
MEMORIES = ("dram", "l1", "sharded")


class DeviceOps:
    """Executes a program on a device. Weights lie interleaved in DRAM, results as `memory` says."""

    def __init__(self, ttnn: Any, device: Any, data_type: str, memory: str) -> None:
        if data_type not in DATA_TYPES:
            raise ValueError(f"data type {data_type!r} is none of {', '.join(DATA_TYPES)}")
        if memory not in MEMORIES:
            raise ValueError(f"memory {memory!r} is none of {', '.join(MEMORIES)}")
        self.ttnn, self.device, self.memory = ttnn, device, memory
        self.data_type = getattr(ttnn, data_type)

    def host(self, value: Tensor, narrow: bool) -> Any:
        """A tensor of TTNN that is still on the host, as `copy_host_to_device_tensor` takes it."""
        data_type = self.ttnn.bfloat16 if narrow else self.data_type
        return self.ttnn.from_torch(value.contiguous(), dtype=data_type, layout=self.ttnn.TILE_LAYOUT)

    def place(self, value: Tensor, narrow: bool) -> Any:
        memory = self.ttnn.DRAM_MEMORY_CONFIG
        return self.ttnn.to_device(self.host(value, narrow), self.device, memory_config=memory)

    def linear(
        self, x_RI: Any, weight_IO: Any, bias_1O: Any = None, *, relu: bool = False, narrow: bool = False
    ) -> Any:
        rows, columns = x_RI.shape[0], weight_IO.shape[1]
        # Rows on cores of their own can be multiplied where they are; the hidden layer of the router is too small.
        sharded = self.memory == "sharded" and not relu and min(rows, columns, x_RI.shape[1]) >= TILE
        memory = self._rows_on_cores(rows, columns) if sharded else self._interleaved()
        x_RI = self._moved(x_RI, self._rows_on_cores(*x_RI.shape)) if sharded else self._spread(x_RI)
        return self.ttnn.linear(
            x_RI,
            weight_IO,
            bias=bias_1O,
            activation="relu" if relu else None,
            dtype=self.ttnn.bfloat16 if narrow else self.data_type,
            memory_config=memory,
        )

    def add(self, a: Any, b: Any) -> Any:
        return self._binary(self.ttnn.add, a, b)

    def subtract(self, a: Any, b: Any) -> Any:
        return self._binary(self.ttnn.subtract, a, b)

    def multiply(self, a: Any, b: Any) -> Any:
        return self._binary(self.ttnn.multiply, a, b)

    def below(self, a: Any, b: Any) -> Any:
        return self._binary(self.ttnn.lt, a, b)

    def mean(self, x: Any) -> Any:
        return self.ttnn.mean(self._spread(x), dim=-1, keepdim=True)

    def largest(self, x: Any) -> Any:
        return self.ttnn.max(self._spread(x), dim=-1, keepdim=True)

    def root(self, x: Any) -> Any:
        return self.ttnn.sqrt(x)

    def inverse(self, x: Any) -> Any:
        return self.ttnn.reciprocal(x)

    def softmax(self, x: Any) -> Any:
        return self.ttnn.softmax(self._spread(x), dim=-1)

    def reshape(self, x: Any, rows: int, columns: int) -> Any:
        return self.ttnn.reshape(self._spread(x), (rows, columns))

    def narrow(self, x: Any) -> Any:
        x = self._spread(x)
        return x if x.dtype == self.ttnn.bfloat16 else self.ttnn.typecast(x, self.ttnn.bfloat16)

    def _binary(self, operation: Any, a: Any, b: Any) -> Any:
        """In place of where `a` lies, if both are of one shape; with a broadcast, interleaved."""
        if isinstance(b, float):
            return operation(a, b)
        if self.memory == "sharded" and tuple(a.shape) == tuple(b.shape) and min(a.shape) >= TILE:
            rows = self._rows_on_cores(*a.shape)
            return operation(self._moved(a, rows), self._moved(b, rows), memory_config=rows)
        return operation(self._spread(a), self._spread(b), memory_config=self._interleaved())

    def _interleaved(self) -> Any:
        return self.ttnn.DRAM_MEMORY_CONFIG if self.memory == "dram" else self.ttnn.L1_MEMORY_CONFIG

    def _spread(self, x: Any) -> Any:
        """The tensor interleaved, if its rows lie on cores of their own."""
        return self.ttnn.to_memory_config(x, self._interleaved()) if x.is_sharded() else x

    def _moved(self, x: Any, memory: Any) -> Any:
        return x if x.memory_config() == memory else self.ttnn.to_memory_config(x, memory)

    def _rows_on_cores(self, rows: int, columns: int) -> Any:
        """Whole tiles of rows, the same number on as many cores as divide them."""
        ttnn, grid = self.ttnn, self.device.compute_with_storage_grid_size()
        tiles = -(-rows // TILE)
        cores = max(n for n in range(1, grid.x * grid.y + 1) if tiles % n == 0)
        return ttnn.create_sharded_memory_config(
            shape=(tiles // cores * TILE, -(-columns // TILE) * TILE),
            core_grid=ttnn.num_cores_to_corerangeset(cores, ttnn.CoreCoord(grid.x, grid.y), row_wise=True),
            strategy=ttnn.ShardStrategy.HEIGHT,
            orientation=ttnn.ShardOrientation.ROW_MAJOR,
            use_height_and_width_as_shard_shape=True,
        )
