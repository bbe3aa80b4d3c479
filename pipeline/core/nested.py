"""Nested mappings, such as parameters and results, as dotted names and values."""

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that holds no mapping, by dotted name and in order; a list that holds mappings is numbered from 0.

    An empty mapping is a value.
    """
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield from leaves({str(index): item for index, item in enumerate(value)}, f"{name}.")
        elif isinstance(value, Mapping) and value:
            yield from leaves(value, f"{name}.")
        else:
            yield name, value
