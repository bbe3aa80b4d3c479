"""Parameters as the reader meets them: dotted names and values."""

from collections.abc import Mapping
from typing import Any


def flattened(parameters: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Dotted names and values, in the order of params.yaml; a list of plain values is one value."""
    entries: list[tuple[str, str]] = []
    for key, value in parameters.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            entries += flattened(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            entries += flattened({str(index): item for index, item in enumerate(value)}, f"{name}.")
        elif isinstance(value, list):
            entries.append((name, ", ".join(str(item) for item in value)))
        else:
            entries.append((name, "none" if value is None else str(value)))
    return entries
