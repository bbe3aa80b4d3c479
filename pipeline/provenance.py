"""Where a result comes from: the commit around a folder, and the software that made it."""

import subprocess
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

PACKAGES = ("torch", "numpy", "anndata")  # those that decide numbers, or how they are written

# Written by runs: a difference there says nothing about the code that ran.
_RESULTS = (":(exclude,top)dvc.lock", ":(exclude,top)reports")


def commit_around(folder: Path) -> dict[str, Any]:
    """`commit`, of the git repository that the folder lies in ("unknown" where there is none), and `dirty`: whether
    files under version control, results aside, differ from it.
    """
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return {"commit": "unknown", "dirty": True}
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "-uno", "--", ":/", *_RESULTS))}


def software() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers."""
    return {"python": python_version(), **{name: version(name) for name in PACKAGES}}


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
