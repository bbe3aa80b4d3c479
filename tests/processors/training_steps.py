"""A few training steps of every network, each in a process of its own: prints what became of each, as JSON.

    python -m tests.processors.training_steps

The processes are forked from one that has imported torch and computed nothing, so that each chooses its kernels itself.
Gradients must be those of the same weights in float64, which takes other kernels than float32 does.
`overrun` is a control: a process that writes one byte past a tensor.
"""

import copy
import ctypes
import dataclasses
import json
import math
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pipeline.registry import load_params
from pipeline.training.optimizer import Optimizer
from tests.processors.networks import NETWORKS, Network

STEPS = 4
TOLERANCE = 3e-4  # of a gradient's largest entry


class SinglePrecisionDraws(TorchFunctionMode):
    """Random numbers are drawn in float32, whatever they are wanted in: generators give other ones in float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.rand, torch.randn):
            wanted = kwargs.get("dtype") or torch.get_default_dtype()
            return func(*args, **kwargs | {"dtype": torch.float32}).to(wanted)
        if func is torch.multinomial:
            return func(args[0].float(), *args[1:], **kwargs)
        if func is Tensor.exponential_:
            return args[0].copy_(torch.empty_like(args[0], dtype=torch.float32).exponential_(*args[1:], **kwargs))
        return func(*args, **kwargs)


def gradients(objective: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
    """Of the loss of a minibatch, by the weight's name."""
    objective.zero_grad()
    objective(batch, generator)["loss"].backward()
    return {name: weight.grad for name, weight in objective.named_parameters() if weight.grad is not None}


def doubled(batch: Any) -> Any:
    """The minibatch, or a part of it, in float64."""
    if isinstance(batch, Tensor):
        return batch.double() if batch.is_floating_point() else batch
    if not dataclasses.is_dataclass(batch):
        return batch
    changes = {field.name: doubled(getattr(batch, field.name)) for field in dataclasses.fields(batch)}
    return dataclasses.replace(batch, **changes)


def compare(build: Callable[[], Network]) -> None:
    """AssertionError where a gradient is at no step that of float64, or where training ends in a weight not finite.

    Rounding may carry a unit across the kink of a ReLU or a token to another expert, which is no fault: that happens
    at one step. A wrong kernel is wrong at every one.
    """
    torch.manual_seed(0)
    objective, batch = build()
    exact, exact_batch = copy.deepcopy(objective).double(), doubled(batch)
    optimisation = load_params().bayes_moe.sweep.recipe
    optimizers = [
        Optimizer(objective.parameters(), optimisation.model_copy(update={"optimizer": name}))
        for name in ("sgd", "adamw")
    ]
    least_error: dict[str, float] = {}
    for step in range(STEPS):
        exact.load_state_dict(objective.state_dict())
        found = gradients(objective, batch, torch.Generator().manual_seed(step))
        torch.set_default_dtype(torch.float64)
        with SinglePrecisionDraws():
            expected = gradients(exact, exact_batch, torch.Generator().manual_seed(step))
        torch.set_default_dtype(torch.float32)
        assert found.keys() == expected.keys()
        largest = max(gradient.abs().max().item() for gradient in expected.values())
        for name, gradient in expected.items():
            error = (found[name] - gradient).abs().max().item() / max(gradient.abs().max().item(), 1e-3 * largest)
            least_error[name] = min(error, least_error.get(name, math.inf))
        optimizers[step % 2].step(0.01)
    worst = max(least_error, key=least_error.__getitem__)
    off = f"the gradient of {worst} is off by {least_error[worst]:.1e} of its largest entry"
    assert least_error[worst] < TOLERANCE, off
    assert all(weight.isfinite().all() for weight in objective.parameters()), "a weight is not finite"


def overrun() -> None:
    """One byte past a tensor."""
    tensor = torch.zeros(3)
    ctypes.memset(tensor.data_ptr(), 1, tensor.nbytes + 1)


def outcome(action: Callable[[], None]) -> str:
    """Of a forked process: `ok`, the signal that ended it, or its error's last line."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        said = "ok"
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - passed on to the parent
            said = traceback.format_exception_only(error)[-1].strip()
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return said if code == 0 else signal.Signals(-code).name


def main() -> None:
    outcomes = {name: outcome(lambda build=build: compare(build)) for name, build in NETWORKS.items()}
    debugged = "libc_malloc_debug" in Path("/proc/self/maps").read_text()
    print(json.dumps({"debugged": debugged, "overrun": outcome(overrun), "networks": outcomes}))


if __name__ == "__main__":
    main()
