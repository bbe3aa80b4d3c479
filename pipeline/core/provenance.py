"""Where a result comes from: the commit around a folder, the software that made it, and both as a file of results holds
them, in `uns["celldag"]` of an .h5ad or in a JSON file beside a CSV."""

import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

from pipeline.core.files import read_json
from pipeline.core.git import GitError, git, head

PACKAGES = ("torch", "numpy", "anndata")  # those that decide numbers, or how they are written

PROVENANCE = "provenance.json"  # beside models outside their project

# Written by runs: changes there are no changes of code.
_RESULTS = (":(exclude,top)dvc.lock", ":(exclude,top)reports")


def commit_around(folder: Path) -> dict[str, Any]:
    """`commit`, of the git repository that the folder lies in, and `dirty`: whether files under version control,
    results aside, differ from it. Without a commit, `commit` is "unknown", and `commit_unknown` and a line on stderr
    give git's own reason. A model outside its project has a file of the name `PROVENANCE` that says the same.
    """
    if (folder / PROVENANCE).is_file():
        return dict(read_json(folder / PROVENANCE))
    try:
        commit = head(folder)
        changes = git("status", "--porcelain", "-uno", "--", ":/", *_RESULTS, folder=folder)
    except GitError as error:
        print(f"note: what is written names no commit; {error}", file=sys.stderr)
        return {"commit": "unknown", "dirty": True, "commit_unknown": str(error)}
    return {"commit": commit, "dirty": bool(changes)}


def software() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers."""
    return {"python": python_version(), **{name: version(name) for name in PACKAGES}}


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


def in_uns(origin: Mapping[str, Any]) -> dict[str, Any]:
    """What `origin_in_json` gives, for an AnnData's uns."""
    return {"celldag": _plain(origin)}


def _plain(content: Any) -> Any:
    """The same in types that survive a round trip through an AnnData's uns on disk."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return np.array(content, dtype=object if any(isinstance(item, str) for item in content) else None)
    return "none" if content is None else content
