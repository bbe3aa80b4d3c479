"""Untracked inputs: `dvc exp run --temp` and `--queue` work in a copy of what git or DVC tracks."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.core.git import GitError, head
from pipeline.data.untracked import is_tracked
from workflow.closure import is_code
from workflow.dag import Stage
from workflow.explain import overlaps


def untracked_inputs(stages: Iterable[Stage]) -> list[str]:
    """A note, with the command to fix it, for each input at a relative path that neither git nor DVC tracks.

    Empty without a git commit, since experiments cannot run then.
    """
    try:
        head()
    except GitError:
        return []
    stages = list(stages)
    made = {out for stage in stages for out in stage.outs}
    inputs = {dep: None for stage in stages for dep in stage.deps if not is_code(dep) and not overlaps(dep, made)}
    return [
        f"{path}: neither git nor DVC tracks it, so `dvc exp run --temp` and `--queue` would not find it: {_fix(path)}"
        for path in map(Path, inputs)
        if not path.is_absolute() and path.exists() and not is_tracked(path)
        if inputs.keys().isdisjoint(map(str, path.parents))  # a folder stands for the files in it
    ]


def _fix(path: Path) -> str:
    return f"`dvc import-url {path}`" if path.parts[0] == ".." else f"`dvc add {path}`"
