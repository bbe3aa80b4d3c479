"""Is an input file under version control? What is not cannot be restored, or follow into a run in another folder."""

import os.path
import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.git import GitError, git, head


def untracked_advice(path: Path) -> str | None:
    """How to version an input of this project; None where it is tracked, outside the project, or there is no commit."""
    place = Path(os.path.relpath(path))
    try:
        head()
    except GitError:
        return None
    if place.is_relative_to("..") or is_tracked(place):
        return None
    return (
        f"{place} is not tracked; `dvc add {shlex.quote(str(place))}` versions it, and `dvc exp run --temp` or "
        "`--queue` needs that"
    )


def advice_on(path: str | Sequence[str]) -> list[str]:
    """Notes for the terminal on inputs that are not under version control; no result depends on them."""
    given = [path] if isinstance(path, str) else path
    return [f"note: {advice}" for one in given if (advice := untracked_advice(Path(one))) is not None]


def is_tracked(place: Path) -> bool:
    """Whether git tracks a path, relative to the working folder, or DVC does: it, or a folder around it, has a .dvc."""
    if any(Path(f"{part}.dvc").is_file() for part in (place, *place.parents[:-1])):
        return True
    return place.parts[:1] != ("..",) and git("ls-files", "--", str(place)) != b""
