"""Git queries of the mirror: the commit or experiment of a revision, and a file at a commit."""

import time
from dataclasses import dataclass

from pipeline.core.checkout import baseline, experiment
from pipeline.core.errors import ExpectedError
from pipeline.core.git import GitError, git, head

EXPERIMENTS = "refs/exps"  # .../<2 digits>/<38 digits of the commit it is based on>/<name>


@dataclass(frozen=True)
class Commit:
    """A commit, or an experiment of DVC on top of it."""

    hash: str  # 40 hexadecimal digits
    time: int  # committer's time, seconds since 1970; of an experiment, its own
    subject: str  # first line of the message
    files: str  # the commit that holds the results: this one, or the one that DVC made of the experiment
    branch: str | None = None  # that is checked out, where the commit is its head
    experiment: str | None = None  # its name

    @property
    def key(self) -> str:
        """What no other commit or experiment has."""
        return f"{self.hash}:{self.experiment}" if self.experiment else self.hash

    @property
    def name(self) -> str:
        """For people: the experiment's, or branch, hash and subject."""
        return self.experiment or " ".join(filter(None, [self.branch, self.hash[:8], self.subject]))


def find_commit(revision: str | None) -> Commit:
    """The commit that `revision` (hash, branch, tag, HEAD~1 ...) or the experiment that it names.

    None: what the working tree belongs to, HEAD or the experiment that DVC runs in it. ExpectedError if there is none.
    """
    try:
        head()
    except GitError as error:
        raise ExpectedError(f"runs are mirrored by commit, and there is none here; {error}") from error
    based_on = baseline()
    if revision is None and based_on:
        return Commit(based_on, int(time.time()), "", based_on, experiment=experiment())
    try:
        commit = _resolved(revision or "HEAD")
    except GitError as error:
        reference = _experiment_reference(revision or "")
        if reference is None:
            raise ExpectedError(
                f"git knows no revision {revision!r}: name a commit of this repository or an experiment of DVC "
                "(`git log`, `dvc exp list`; in a shallow clone, `git fetch --unshallow` brings the older ones)"
            ) from error
        *_, first, rest, name = reference.split("/")
        files = _resolved(reference)
        return Commit(first + rest, _shown(files)[0], "", files, experiment=name)
    committed, subject = _shown(commit)
    branch = git("rev-parse", "--abbrev-ref", "HEAD").decode().strip() if commit == head() else "HEAD"
    return Commit(commit, committed, subject, commit, None if branch == "HEAD" else branch)


def _resolved(revision: str) -> str:
    return git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()


def _shown(commit: str) -> tuple[int, str]:
    """Time and subject of a commit."""
    described = git("show", "--no-patch", "--format=%ct %s", commit)
    committed, _, subject = described.decode(errors="replace").strip().partition(" ")
    return int(committed), subject


def _experiment_reference(name: str) -> str | None:
    """The newest experiment of this name."""
    listed = git("for-each-ref", "--sort=-committerdate", "--format=%(refname)", EXPERIMENTS).decode().split()
    return next((found for found in listed if name and found.endswith(f"/{name}") and found.count("/") == 4), None)


def files_at(commit: str, folder: str) -> list[str]:
    """The files below a folder in `commit`, relative to the working directory like the folder itself."""
    listed = git("ls-tree", "-r", "-z", "--name-only", commit, "--", f"./{folder}/").decode(errors="surrogateescape")
    return [name for name in listed.split("\0") if name]


def file_at(commit: str, path: str) -> bytes | None:
    """The content of `path` (relative to the working directory) in `commit`, or None if it is absent."""
    listed = git("ls-tree", "-z", commit, "--", f"./{path}")
    return git("cat-file", "blob", f"{commit}:./{path}") if listed else None
