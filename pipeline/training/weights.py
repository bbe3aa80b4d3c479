"""Models on disk: weights.safetensors beside a config.json that rebuilds the model. Nothing is unpickled."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pipeline.errors import ExpectedError
from pipeline.files import atomic_folder, read_json, write_json

SCHEMA_VERSION = 1
WEIGHTS = "weights.safetensors"
CONFIG = "config.json"

M = TypeVar("M", bound=nn.Module)


def save_model(folder: Path, model: nn.Module, description: dict[str, Any]) -> None:
    """Write weights and configuration atomically: the folder is the previous model or this one.

    The model has an attribute `arguments`: its constructor's, as plain JSON. `description` is what else a user of the
    model has to know (categories, genes, where it comes from), and is handed back by `load_model`.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    config = {
        "schema_version": SCHEMA_VERSION,
        "model": type(model).__name__,
        "arguments": model.arguments,
        **description,
    }
    with atomic_folder(folder) as partial:
        (partial / WEIGHTS).write_bytes(safetensors.torch.save(tensors))  # save_file would make it private (0600)
        write_json(partial / CONFIG, config)


def load_model(
    folder: Path, kind: type[M], device: torch.device | None = None, made_by: str = "vae_pretrain flow_train"
) -> tuple[M, dict[str, Any]]:
    """The model in `folder`, in eval mode, and its configuration; made_by: stages that make it anew, for advice.

    ExpectedError where there is none, where it is of another kind or schema version, where weights and configuration do
    not fit each other, or where a file is damaged.
    """
    unusable = partial(_unusable, folder, made_by)
    config = _read_config(folder, unusable)
    if config.get("schema_version") != SCHEMA_VERSION or config.get("model") != kind.__name__:
        found = f"{config.get('model')!r} of schema version {config.get('schema_version')}"
        raise unusable(f"{CONFIG} describes {found}, expected {kind.__name__!r} of version {SCHEMA_VERSION}")
    try:
        tensors = safetensors.torch.load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise unusable(f"{WEIGHTS} is missing") from error
    except safetensors.SafetensorError as error:
        raise unusable(f"{WEIGHTS} is damaged: {error}") from error
    try:
        with torch.device("meta"), _Undrawn():  # only the shapes: initial values cost time and draw random numbers
            model = kind(**config["arguments"])
    except (KeyError, TypeError) as error:
        raise unusable(f"the arguments in {CONFIG} do not make a {kind.__name__}: {error}") from error
    problems = _mismatches(model, tensors)
    if problems:
        raise unusable(f"{WEIGHTS} and {CONFIG} do not fit: " + "; ".join(problems))
    model.load_state_dict(tensors, assign=True)
    return model.to(device or torch.device("cpu")).eval(), config


class _Undrawn(TorchFunctionMode):
    """Leaves normal draws out: on the meta device torch would import its compiler for them, which takes seconds."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        named = named or {}
        if function in (nn.init.normal_, Tensor.normal_):
            return named["tensor"] if "tensor" in named else arguments[0]
        return function(*arguments, **named)


def _read_config(folder: Path, unusable: Callable[[str], ExpectedError]) -> dict[str, Any]:
    try:
        config = read_json(folder / CONFIG)
    except FileNotFoundError as error:
        raise unusable(f"{CONFIG} is missing") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise unusable(f"{CONFIG} is damaged: {error}") from error
    if not isinstance(config, dict):
        raise unusable(f"{CONFIG} is damaged: not a mapping")
    return config


def _mismatches(model: nn.Module, tensors: dict[str, torch.Tensor]) -> list[str]:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return [
        f"{name} is {found.get(name, 'missing')}, expected {expected.get(name, 'nothing')}"
        for name in sorted(expected | found)
        if found.get(name) != expected.get(name)
    ]


def _unusable(folder: Path, made_by: str, problem: str) -> ExpectedError:
    return ExpectedError(f"no usable model in {folder}: {problem}; make it again with: dvc repro --force {made_by}")
