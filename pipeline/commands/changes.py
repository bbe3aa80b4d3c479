"""Settings of the command line, KEY=VALUE: the dotted key of params.yaml, and YAML."""

from collections.abc import Sequence
from typing import Any

from pipeline.core.errors import ExpectedError
from pipeline.params.reading import parse_yaml


def parsed(changes: Sequence[str], section: str) -> dict[str, Any]:
    """Values by key, without the section's name. ExpectedError: a change is not KEY=VALUE, or a key is given twice."""
    values: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        key = key.strip().removeprefix(f"{section}.")
        if not (key and equals):
            raise ExpectedError(f"{change}: expected KEY=VALUE, such as epochs=3")
        if key in values:
            raise ExpectedError(f"{key} is given twice: leave one of them out")
        values[key] = parse_yaml(text, change)
    return values
