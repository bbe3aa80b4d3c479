"""Git queries of the mirror: the commit of a revision, and a file at a commit."""

from dataclasses import dataclass

from pipeline.core.errors import ExpectedError
from pipeline.core.git import GitError, git, head


@dataclass(frozen=True)
class Commit:
    hash: str  # 40 hexadecimal digits
    time: int  # committer's time, seconds since 1970
    subject: str  # first line of the message


def find_commit(revision: str) -> Commit:
    """The commit that `revision` (hash, branch, tag, HEAD~1 ...) names; ExpectedError if there is none."""
    try:
        head()
    except GitError as error:
        raise ExpectedError(f"runs are mirrored by commit, and there is none here; {error}") from error
    try:
        commit = git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    except GitError as error:
        raise ExpectedError(
            f"git knows no revision {revision!r}: name a commit of this repository (`git log` lists them; "
            "in a shallow clone, `git fetch --unshallow` brings the older ones)"
        ) from error
    described = git("show", "--no-patch", "--format=%ct %s", commit)
    time, _, subject = described.decode(errors="replace").strip().partition(" ")
    return Commit(commit, int(time), subject)


def files_at(commit: str, folder: str) -> list[str]:
    """The files below a folder in `commit`, relative to the working directory like the folder itself."""
    listed = git("ls-tree", "-r", "-z", "--name-only", commit, "--", f"./{folder}/").decode(errors="surrogateescape")
    return [name for name in listed.split("\0") if name]


def file_at(commit: str, path: str) -> bytes | None:
    """The content of `path` (relative to the working directory) in `commit`, or None if it is absent."""
    listed = git("ls-tree", "-z", commit, "--", f"./{path}")
    return git("cat-file", "blob", f"{commit}:./{path}") if listed else None
