"""DVC as a stage's job runs it, `python -m workflow.job_dvc WORDS`: its list of busy paths survives any kill.

DVC writes that list in place, before and after its stage. `scancel` or a time limit ends the stage and then DVC, often
while DVC writes; the list would be left cut, no other DVC could read it, and the jobs that go on would fail.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from dvc import rwlock
from dvc.cli import main

from pipeline.core.files import atomic_file

_locked = rwlock.rwlock


class WholeFiles:
    """A file system of DVC, where a file that is written anew takes the place of the old one once it is complete."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fs, name)

    @contextmanager
    def open(self, path: str, mode: str = "r", **options: Any) -> Iterator[IO[Any]]:
        written = atomic_file(Path(path)) if mode == "w" else nullcontext(path)
        with written as target, self._fs.open(str(target), mode, **options) as stream:
            yield stream


def locked(tmp_dir: str, fs: Any, *arguments: Any, **options: Any) -> AbstractContextManager[None]:
    """DVC's `rwlock`, with its list as a whole file."""
    context: AbstractContextManager[None] = _locked(tmp_dir, WholeFiles(fs), *arguments, **options)
    return context


if __name__ == "__main__":
    rwlock.rwlock = locked
    sys.exit(main(sys.argv[1:]))
