"""How long PyTorch takes on the CPU, eager and compiled.

B: windows, C: channels, L: rows of the lookback, F: time features.
"""

import platform
from pathlib import Path

import torch
from torch import Tensor, inference_mode, nn
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.config import patch

from pipeline.mole.ttnn.stopwatch import Times, timed


def eager_times(model: nn.Module, x_BCL: Tensor, mark_BF: Tensor, repeats: int) -> Times:
    """Of one minibatch, operation by operation."""
    with inference_mode():
        return timed(lambda: model(x_BCL, mark_BF), repeats)


def compiled_times(model: nn.Module, x_BCL: Tensor, mark_BF: Tensor, repeats: int) -> Times | str:
    """Of one minibatch, compiled for its shapes; why not, where the compiler fails (it needs one of C++).

    What vectors the processor has is believed: trying each kind with the compiler first takes longer than all else.
    """
    compiled = torch.compile(model, dynamic=False)
    with inference_mode(), patch({"cpp.vec_isa_ok": True}):
        try:
            compiled(x_BCL, mark_BF)
        except TorchDynamoException as error:
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            return f"torch.compile failed: {reason}"
        return timed(lambda: compiled(x_BCL, mark_BF), repeats)


def processor() -> str:
    """What the system calls its processor."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
