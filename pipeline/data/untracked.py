"""Is an input file under version control? What is not cannot be restored, or follow into a run in another folder."""

import shlex
from pathlib import Path

from pipeline.core.git import GitError, git


def untracked_advice(path: Path) -> str | None:
    """How to put an input of this project under version control; None where it is tracked, or outside the project.

    Tracked by git, or by DVC: beside it, or beside a folder around it, lies a file of its name and `.dvc`.
    """
    try:
        project = Path(git("rev-parse", "--show-toplevel").decode().rstrip("\n"))
        inside = path.absolute().is_relative_to(project)
        if not inside or git("ls-files", "--", str(path)):
            return None
    except GitError:  # no repository, so nothing that a run could be without
        return None
    around = [path.absolute(), *path.absolute().parents]
    if any(folder.with_name(f"{folder.name}.dvc").is_file() for folder in around if folder.is_relative_to(project)):
        return None
    return (
        f"{path} is not tracked; `dvc add {shlex.quote(str(path))}` versions it, and `dvc exp run --temp` or `--queue` "
        "needs that"
    )
