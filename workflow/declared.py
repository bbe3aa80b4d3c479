"""What dvc.yaml declares, read without DVC, whose import takes half a second."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

DVC_YAML = Path("dvc.yaml")
KINDS = ("outs", "metrics", "plots")  # of outputs


def declared_stages() -> dict[str, Any]:
    """The declaration of each stage by its name without a key; empty without a dvc.yaml."""
    text = DVC_YAML.read_text(encoding="utf-8") if DVC_YAML.is_file() else ""
    stages: dict[str, Any] = (yaml.load(text, Loader=yaml.CSafeLoader) or {}).get("stages") or {}
    return stages


def is_declared(address: str, declared: Mapping[str, Any]) -> bool:
    """Whether a stage is among the declarations; of a `foreach` over a parameter any key is."""
    name, _, key = address.partition("@")
    if name not in declared:
        return False
    keys = declared[name].get("foreach")
    return isinstance(keys, str) or key in map(str, keys or [""])


def declared_outs(address: str) -> list[str]:
    """The declared outputs of a stage."""
    name, _, key = address.partition("@")
    return outs_of(declared_stages()[name], key)


def outs_of(declared: Mapping[str, Any], key: str = "", kinds: Sequence[str] = KINDS) -> list[str]:
    """The declared outputs of these kinds; their only template variable is the key of a `foreach`."""
    entry = declared.get("do", declared)
    listed = [out for kind in kinds for out in entry.get(kind) or []]
    paths = [out if isinstance(out, str) else next(iter(out)) for out in listed]
    return [path.replace("${key}", key).replace("${item}", key) for path in paths]
