"""Where a result comes from: the commit around a folder, and the software that made it."""

import sys
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from pipeline.core.git import GitError, git, head

PACKAGES = ("torch", "numpy", "anndata")  # those that decide numbers, or how they are written

# Written by runs: changes there are no changes of code.
_RESULTS = (":(exclude,top)dvc.lock", ":(exclude,top)reports")


def commit_around(folder: Path) -> dict[str, Any]:
    """`commit`, of the git repository that the folder lies in, and `dirty`: whether files under version control,
    results aside, differ from it. Without a commit, `commit` is "unknown", and `commit_unknown` and a line on stderr
    give git's own reason.
    """
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
