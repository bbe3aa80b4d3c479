"""Checkpoints of a training in progress: outside the stage's outs, keyed by everything the result depends on.

.checkpoints/<stage>/<key>/latest.pt and previous.pt. The key changes with the parameters, the inputs and the code, so a
checkpoint is never continued by a run that would not have written it. A file is a SHA-256 digest and then what
torch.save wrote, so that a damaged one is recognised before it is read.
"""

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from pipeline.core import paths
from pipeline.core.files import atomic_file, sha256
from pipeline.core.rank import is_first

_DIGEST_BYTES = 32


class Checkpoints:
    """The latest two states of one training."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = folder / "next.pt"  # exists only until it is renamed
        self._latest = folder / "latest.pt"
        self._previous = folder / "previous.pt"

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state (tensors, numbers, strings, and lists and dictionaries of them), and the one before it.

        All processes of a training have the same; the first keeps it.
        """
        if not is_first():
            return
        stream = io.BytesIO()
        torch.save(state, stream)
        content = stream.getbuffer()
        with atomic_file(self._next) as partial, partial.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
        # Renamed only once it is on the disk: after a kill at any time, one of the three names holds a whole state.
        if self._latest.exists():
            self._latest.replace(self._previous)
        self._next.replace(self._latest)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The newest whole state, or None. A damaged one is named on stderr, and the one before it is used."""
        for path in (self._next, self._latest, self._previous):
            if not path.exists():
                continue
            content = path.read_bytes()
            if hashlib.sha256(content[_DIGEST_BYTES:]).digest() == content[:_DIGEST_BYTES]:
                stream = io.BytesIO(content[_DIGEST_BYTES:])
                state: dict[str, Any] = torch.load(stream, map_location=device, weights_only=True)
                return state
            print(f"warning: checkpoint {path} is damaged and is not used", file=sys.stderr)
        return None

    def remove(self) -> None:
        """Delete this training's checkpoints, once its results are written."""
        if is_first() and self._folder.exists():
            shutil.rmtree(self._folder)


def checkpoints(stage: str, settings: BaseModel, inputs: Sequence[Path]) -> Checkpoints:
    """The checkpoints of this stage under these settings, input files and code.

    Of another number of processes they are the same. A comment or a docstring is no part of the code. Where no manifest
    says what code it is (outside the DAG), it is that of every loaded module of the pipeline, so call this when all
    imports are done.
    """
    key = hashlib.sha256()
    code = [f"{name} {digest}" for name, digest in sorted(_code().items())]
    asked = settings.model_dump(mode="json")
    asked.get("recipe", asked).pop("processes", None)
    for part in [json.dumps(asked), torch.__version__, *map(sha256, inputs), *code]:
        key.update(part.encode() + b"\0")
    return Checkpoints(paths.CHECKPOINTS / stage / key.hexdigest()[:32])


def _code() -> Mapping[str, str]:
    """Digests of the source that the training depends on, from the stage's manifest or of every loaded module."""
    # By name, as no result depends on how code is compared: an import would make it part of every training stage.
    manifest: Mapping[str, str] | None = import_module("pipeline.core.manifest_imports").manifest_in_force()
    if manifest is not None:
        return manifest
    digests = import_module("workflow.manifests").Digests()
    modules = [
        (getattr(module, "__spec__", None), getattr(module, "__file__", None)) for module in sys.modules.values()
    ]
    files = {spec.name: file for spec, file in modules if spec and file and spec.name.split(".")[0] == "pipeline"}
    return {name: digests.of(Path(file)) for name, file in files.items()}
