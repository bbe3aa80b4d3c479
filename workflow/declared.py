"""What dvc.yaml declares, read without DVC, whose import takes half a second."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

DVC_YAML, PARAMS_YAML, PLAN_YAML = Path("dvc.yaml"), Path("params.yaml"), Path("plan.yaml")
KINDS = ("outs", "metrics", "plots")  # of outputs


def declared_stages() -> dict[str, Any]:
    """The declaration of each stage by its name without a key; empty without a dvc.yaml."""
    text = DVC_YAML.read_text(encoding="utf-8") if DVC_YAML.is_file() else ""
    stages: dict[str, Any] = (yaml.load(text, Loader=yaml.CSafeLoader) or {}).get("stages") or {}
    return stages


def template_values() -> dict[str, Any]:
    """What dvc.yaml fills in: the content of params.yaml and plan.yaml, as far as they are there."""
    values: dict[str, Any] = {}
    for path in (PARAMS_YAML, PLAN_YAML):
        if path.is_file():
            values |= yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) or {}
    return values


def instances(declared: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """What a `foreach` fills in, by key: an entry of its mapping, or the key itself of a list; one empty key without.

    context: the mappings that its template names, such as `template_values`; a name that is not there has no instance.
    """
    if "foreach" not in declared:
        return {"": None}
    listed: Any = declared["foreach"]
    if isinstance(listed, str):
        for part in listed.strip("${}").split("."):
            context = context.get(part, {}) if isinstance(context, dict) else {}
        listed = context
    return {str(key): listed[key] if isinstance(listed, dict) else key for key in listed}


def is_declared(address: str, declared: Mapping[str, Any], context: Any) -> bool:
    """Whether a stage is among the declarations."""
    name, _, key = address.partition("@")
    return name in declared and key in instances(declared[name], context)


def declared_outs(address: str) -> list[str]:
    """The declared outputs of a stage."""
    name, _, key = address.partition("@")
    declared = declared_stages()[name]
    return outs_of(declared, key, instances(declared, template_values())[key])


def outs_of(declared: Mapping[str, Any], key: str = "", item: Any = None, kinds: Sequence[str] = KINDS) -> list[str]:
    """The declared outputs of these kinds of one instance: its key, and what the `foreach` fills in for it."""
    entry = declared.get("do", declared)
    listed = [out for kind in kinds for out in entry.get(kind) or []]
    paths = [out if isinstance(out, str) else next(iter(out)) for out in listed]
    values = {"key": key, "item": str(item), **_dotted("item", item)}
    return [re.sub(r"\$\{([\w.]+)\}", lambda found: values.get(found[1], found[0]), path) for path in paths]


def _dotted(name: str, item: Any) -> dict[str, str]:
    return {f"{name}.{key}": str(value) for key, value in item.items()} if isinstance(item, dict) else {}
