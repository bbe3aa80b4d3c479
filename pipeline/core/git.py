"""Git's answers about the repository around a folder, or its own words on why there are none."""

import os
import subprocess
from pathlib import Path

from pipeline.core.errors import ExpectedError

NO_HISTORY = (
    "a downloaded archive has no history: get the project with `git clone`, or commit what is here (`git init`, "
    "`git add .`, `git commit`)"
)

# By a part of git's message. For other refusals (dubious ownership) git names the solution itself.
_ADVICE = {
    "not a git repository": NO_HISTORY,
    "Needed a single revision": "there is no commit here yet: make one (`git commit`)",
}


class GitError(ExpectedError):
    """git refuses, or is not installed: its own words on one line, and the solution."""


def git(*arguments: str, folder: Path = Path()) -> bytes:
    """Standard output of a git command in `folder`. Raises GitError where git fails."""
    # In English, since the words are compared.
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], env=environment, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise GitError("git is not installed: install it (Debian: apt-get install git)") from error
    if done.returncode != 0:
        words = " ".join(done.stderr.decode(errors="replace").split())
        advice = next((advice for said, advice in _ADVICE.items() if said in words), None)
        raise GitError(
            f"git says: {words or f'nothing, exit code {done.returncode}'}" + (f"; {advice}" if advice else "")
        )
    return done.stdout


def head(folder: Path = Path()) -> str:
    """The commit that is checked out, 40 hexadecimal digits. Raises GitError where there is none."""
    return git("rev-parse", "--verify", "HEAD", folder=folder).decode().strip()
