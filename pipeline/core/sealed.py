"""JSON that describes the files beside it and keeps a SHA-256 digest of each, and of itself.

Weights or a scale with a flipped bit still compute, and are silently wrong. Readers of such a description learn of any
damage before the files beside it are used.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.core.files import read_json, sha256, write_json

_DIGESTS = "sha256"


def write_sealed(path: Path, content: dict[str, Any], *beside: str) -> None:
    """Write `content` as JSON, with digests of it and of the files of these names in the same folder."""
    content = {key: value for key, value in content.items() if key != _DIGESTS}
    files = {name: sha256(path.parent / name) for name in beside}
    write_json(path, content | {_DIGESTS: {**files, path.name: _digest(content, files)}})


def read_sealed(path: Path, *beside: str) -> dict[str, Any]:
    """The content that was written, once it and the files of these names beside it are found to be as they were.

    FileNotFoundError where one is missing; ValueError, naming it, where one is damaged, or no digests are kept.
    """
    try:
        content = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is damaged: not a mapping")  # noqa: TRY004 - it is the file that is wrong
    kept = content.pop(_DIGESTS, None)
    if not isinstance(kept, dict):
        raise ValueError(f"{path.name} keeps no digests, so an older version wrote it")  # noqa: TRY004
    own = kept.pop(path.name, None)
    if own != _digest(content, kept):
        raise ValueError(f"{path.name} is damaged: it is not what was written")
    for name in beside:
        if sha256(path.parent / name) != kept.get(name):
            raise ValueError(f"{name} is damaged: it is not what was written")
    return content


def _digest(content: dict[str, Any], files: dict[str, Any]) -> str:
    """Of what a JSON parser sees, so that another layout of the same content has the same digest."""
    return hashlib.sha256(json.dumps([content, files], sort_keys=True).encode()).hexdigest()
