"""Models on disk: weights.safetensors beside a config.json that rebuilds the model. Nothing is unpickled.

config.json holds a digest of the weights and of itself (`pipeline.core.sealed`), so that damage is found before a
prediction is made. Shapes are compared on torch's meta device, so a forged configuration allocates no memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder
from pipeline.core.sealed import read_sealed, write_sealed
from pipeline.nn.model_config import ModelConfig

SCHEMA_VERSION = 2
WEIGHTS = "weights.safetensors"
CONFIG = "config.json"

M = TypeVar("M", bound=nn.Module)


def save_model(folder: Path, model: nn.Module, description: dict[str, Any]) -> None:
    """Write weights and configuration atomically: the folder is the previous model or this one.

    The model keeps the one argument of its constructor, a `ModelConfig`, as its attribute `config`. `description` is
    what else a user of the model has to know (categories, genes, provenance), and is handed back by `load_model`.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    config = {
        "schema_version": SCHEMA_VERSION,
        "model": type(model).__name__,
        "config": cast(ModelConfig, model.config).model_dump(),
        **description,
    }
    with atomic_folder(folder) as partial:
        (partial / WEIGHTS).write_bytes(safetensors.torch.save(tensors))  # save_file would make it private (0600)
        write_sealed(partial / CONFIG, config, WEIGHTS)


def load_model(
    folder: Path, kind: type[M], device: torch.device | None = None, made_by: str = "vae_pretrain flow_train"
) -> tuple[M, dict[str, Any]]:
    """The model in `folder`, in eval mode, and its configuration; made_by: stages that make it anew, for advice.

    ExpectedError where there is none, where it is of another kind or schema version, where weights and configuration do
    not fit each other, or where a file is damaged.
    """
    unusable = partial(_unusable, folder, made_by)
    config = _read_config(folder, kind, unusable)
    try:
        tensors = safetensors.torch.load_file(folder / WEIGHTS)
    except safetensors.SafetensorError as error:
        raise unusable(f"{WEIGHTS} is damaged: {error}") from error
    try:
        own = _model_config(kind, config["config"])
        # Only shapes: initial values cost time and draw random numbers. Twice, so that missing tensors are named below.
        with torch.device("meta"), _Undrawn(), _at_most(2 * len(tensors)):
            model = kind(own)
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, IndexError) as error:
        raise unusable(
            f"the configuration in {CONFIG} does not make a {kind.__name__}: {_first_line(error)}"
        ) from error
    problems = _mismatches(model, tensors)
    if problems:
        raise unusable(f"{WEIGHTS} and {CONFIG} do not fit: " + "; ".join(problems))
    model.load_state_dict(tensors, assign=True)
    return model.to(device or torch.device("cpu")).eval(), config


def _model_config(kind: type[nn.Module], given: Any) -> ModelConfig:
    """The argument of the model's constructor. ValueError where a field is missing, unknown or of another type."""
    config_type: type[ModelConfig] = get_type_hints(kind.__init__)["config"]
    try:
        return config_type.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or CONFIG}: {first['msg']}") from error


@contextmanager
def _at_most(parameters: int) -> Iterator[None]:
    """ValueError once modules built inside have more parameters: a forged number of layers would take for ever."""
    built = 0

    def count(_module: nn.Module, _name: str, _parameter: nn.Parameter) -> None:
        nonlocal built
        built += 1
        if built > parameters:
            raise ValueError(f"it would have more than {parameters} tensors, far more than {WEIGHTS}")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


class _Undrawn(TorchFunctionMode):
    """Skips normal draws, for which torch would import its compiler on the meta device, which takes seconds."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        named = named or {}
        if function in (nn.init.normal_, Tensor.normal_):
            return named["tensor"] if "tensor" in named else arguments[0]
        return function(*arguments, **named)


def _read_config(folder: Path, kind: type[nn.Module], unusable: Callable[[str], ExpectedError]) -> dict[str, Any]:
    try:
        config = read_sealed(folder / CONFIG, WEIGHTS)
    except FileNotFoundError as error:
        raise unusable(f"{Path(error.filename).name} is missing") from error
    except ValueError as error:
        raise unusable(str(error)) from error
    if config.get("schema_version") != SCHEMA_VERSION or config.get("model") != kind.__name__:
        found = f"{config.get('model')!r} of schema version {config.get('schema_version')}"
        raise unusable(f"{CONFIG} describes {found}, expected {kind.__name__!r} of version {SCHEMA_VERSION}")
    return config


def _mismatches(model: nn.Module, tensors: dict[str, torch.Tensor]) -> list[str]:
    """Which tensors differ from what the model needs, in shape or in type, at most five."""
    expected = {name: _described(tensor) for name, tensor in model.state_dict().items()}
    found = {name: _described(tensor) for name, tensor in tensors.items()}
    wrong = [
        f"{name} is {found.get(name, 'missing')}, expected {expected.get(name, 'nothing')}"
        for name in sorted(expected | found)
        if found.get(name) != expected.get(name)
    ]
    return wrong if len(wrong) <= 5 else [*wrong[:5], f"and {len(wrong) - 5} more"]


def _described(tensor: torch.Tensor) -> str:
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{tuple(tensor.shape)} of {kind}"


def _unusable(folder: Path, made_by: str, problem: str) -> ExpectedError:
    return ExpectedError(f"no usable model in {folder}: {problem}; make it again with: dvc repro --force {made_by}")
