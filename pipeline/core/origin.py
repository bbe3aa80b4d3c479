"""Provenance recorded in result files: in `uns["celldag"]` of an .h5ad, in a JSON file beside a CSV."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core.provenance import software


def origin_in_json(
    command: str,
    provenance: dict[str, Any],
    origin: dict[str, str],
    arguments: dict[str, Any],
    report: dict[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    """provenance: of the model; origin: of the input; arguments: what was asked; report: what the model had not seen,
    as data; notes: the same in lines for people."""
    return {
        "command": command,
        **provenance,
        **origin,
        "arguments": arguments,
        "report": report,
        "notes": notes,
        "versions": software(),
    }


def origin_in_uns(
    command: str,
    provenance: dict[str, Any],
    origin: dict[str, str],
    arguments: dict[str, Any],
    report: dict[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    """The same for an AnnData's uns."""
    return {"celldag": _plain(origin_in_json(command, provenance, origin, arguments, report, notes))}


def _plain(content: Any) -> Any:
    """The same in types that survive a round trip through an AnnData's uns on disk."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return np.array(content, dtype=object if any(isinstance(item, str) for item in content) else None)
    return "none" if content is None else content
