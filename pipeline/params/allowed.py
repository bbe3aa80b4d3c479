"""What a value may be, in words: how values of options, requests and rows are refused.

The bounds are those of the kinds of `pipeline.params.section`.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.core.errors import ExpectedError
from pipeline.params.reading import shown

STRICT = ConfigDict(strict=True, allow_inf_nan=False)  # as in Section


def check(kind: Any, name: str, value: Any) -> None:
    """ExpectedError unless the value is of this kind: "steps 0: expected a whole number from 1 to 1,000".

    kind: of `pipeline.params.section`, such as Steps; name: as whoever gave the value knows it, such as --steps.
    """
    adapter = _adapter(kind)
    try:
        adapter.validate_python(value.item() if isinstance(value, np.generic) else value)
    except ValidationError:
        found = f"{value:g}" if isinstance(value, float) else shown(value)
        raise ExpectedError(f"{name} {found}: expected {expected_of(adapter.json_schema())}") from None


def choices_of(allowed: Mapping[str, Any]) -> list[Any]:
    return list(allowed.get("enum", [allowed["const"]] if "const" in allowed else []))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=STRICT)


def expected_of(allowed: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "anyOf" in allowed:
        return " or ".join(map(expected_of, allowed["anyOf"]))
    if choices_of(allowed):
        *first, last = map(str, choices_of(allowed))
        return f"{', '.join(first)} or {last}" if first else last
    kind = allowed.get("type")
    if kind == "array":
        return f"a list such as [1, 2], each {expected_of(allowed['items'])}"
    if kind == "string" and "maxLength" in allowed:
        return f"text of at most {allowed['maxLength']:,} characters"
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "null"}
    return words.get(str(kind), "text") + _range(allowed)


def _range(allowed: Mapping[str, Any]) -> str:
    least, above = allowed.get("minimum"), allowed.get("exclusiveMinimum")
    most, below = allowed.get("maximum"), allowed.get("exclusiveMaximum")
    parts = [
        f"from {_number(least)}" if least is not None else f"above {_number(above)}" if above is not None else "",
        f"to {_number(most)}" if most is not None else f"to below {_number(below)}" if below is not None else "",
    ]
    if least is not None and not parts[1]:
        parts[1] = "on"
    return "".join(f" {part}" for part in parts if part)


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
