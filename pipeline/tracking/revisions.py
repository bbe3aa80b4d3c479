"""What the mirror asks git: which commit a revision is, and a file as it was there."""

import subprocess
from dataclasses import dataclass

from pipeline.errors import ExpectedError


@dataclass(frozen=True)
class Commit:
    hash: str  # 40 hexadecimal digits
    time: int  # committer's time, seconds since 1970
    subject: str  # first line of the message


def find_commit(revision: str) -> Commit:
    """The commit that `revision` (hash, branch, tag, HEAD~1 ...) names; ExpectedError where there is none."""
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found is None and revision == "HEAD":
        raise ExpectedError("there is no commit here yet, and the mirror is keyed by commits: make one (`git commit`)")
    if found is None:
        raise ExpectedError(
            f"git knows no revision {revision!r} here: name a commit of this repository (`git log` lists them; "
            "in a shallow clone, `git fetch --unshallow` brings the older ones)"
        )
    commit = found.decode().strip()
    described = _git("show", "--no-patch", "--format=%ct %s", commit)
    if described is None:
        raise ExpectedError(f"git cannot read commit {commit}: check the repository with `git fsck`")
    time, _, subject = described.decode(errors="replace").strip().partition(" ")
    return Commit(commit, int(time), subject)


def file_at(commit: str, path: str) -> bytes | None:
    """The content of `path` (relative to the working directory) in `commit`, or None where it is not in it."""
    return _git("cat-file", "blob", f"{commit}:./{path}")


def _git(*arguments: str) -> bytes | None:
    """Standard output of a git command, or None where git refuses it."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ExpectedError("git is not installed: the mirror is keyed by commits, install git") from error
    return done.stdout if done.returncode == 0 else None
