"""A dvc.lock that DVC is writing: it is waited for."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from workflow.lock import COPY, keep_copy, mend_lock, read_lock

LOCK = Path("dvc.lock")


@pytest.mark.parametrize("use", [read_lock, keep_copy, mend_lock])
@pytest.mark.parametrize("written", [0, 200])
def test_a_file_that_is_being_written_is_waited_for(
    use: Callable[[], Any], written: int, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC holds its lock on the project and has written part of the file; it ends once it is asked for the lock."""
    keep_copy()
    before = LOCK.read_text()
    after = before.replace("echo '{}'", "echo '{ }'")
    assert after != before
    with Repo() as repo:
        repo.lock.lock()
        LOCK.write_text(after[:written])
        flock = fcntl.flock

        def ask(descriptor: int, operation: int) -> None:
            monkeypatch.setattr(fcntl, "flock", flock)
            with pytest.raises(BlockingIOError):
                flock(descriptor, operation | fcntl.LOCK_NB)
            LOCK.write_text(after)
            repo.lock.unlock()
            flock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", ask)
        found = use()
        assert fcntl.flock is flock, "nobody asked for the lock"
    assert LOCK.read_text() == after
    if use is read_lock:
        assert found["fit"]["cmd"] == "cat cells.txt code.py > fit.txt && echo '{ }' > score.json"
    else:
        assert COPY.read_text() == after
        assert found is None
