"""Parameters as dotted names and values."""

from collections.abc import Mapping
from typing import Any

from pipeline.core.nested import leaves


def flattened(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Dotted names and values, in the order of params.yaml."""
    return [(name, _shown(value)) for name, value in leaves(parameters)]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return "none" if value is None else str(value)
