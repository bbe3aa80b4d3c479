"""A dvc.lock that DVC is writing, which is waited for, and one that a kill has cut, which never becomes the copy."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from dvc.utils.serialize import dumps_yaml

from pipeline.core.errors import ExpectedError
from workflow.lock import COPY, keep_copy, read_lock, repair_lock

LOCK = Path("dvc.lock")


@pytest.mark.parametrize("use", [read_lock, keep_copy, repair_lock])
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


def entries(text: str) -> dict[str, Any]:
    return yaml.safe_load(text)["stages"]


@pytest.mark.parametrize("rewritten", [False, True])
def test_a_file_cut_at_the_end_of_any_line_is_put_back(finished: Path, rewritten: bool) -> None:
    """DVC reads some of these files, and writes again what it has read."""
    keep_copy()
    whole = LOCK.read_text()
    lines = whole.splitlines(keepends=True)
    for number in range(len(lines)):
        cut = "".join(lines[:number])
        if rewritten:
            content = yaml.safe_load(cut)
            if not isinstance(content, dict) or not isinstance(content.get("stages"), dict):
                continue
            cut = dumps_yaml(content)
        if yaml.safe_load(cut) == yaml.safe_load(whole):
            continue
        LOCK.write_text(cut)
        with pytest.raises(ExpectedError, match="repair"):
            keep_copy()
        assert COPY.read_text() == whole
        assert repair_lock()
        assert entries(LOCK.read_text()) == entries(whole)
    LOCK.write_text(whole)


def test_newer_entries_of_a_file_that_was_cut_are_kept(finished: Path) -> None:
    keep_copy()
    whole = LOCK.read_text()
    content = yaml.safe_load(whole)
    content["stages"]["fit"]["cmd"] = "another"
    del content["stages"]["page"]["outs"]
    LOCK.write_text(dumps_yaml(content))
    assert repair_lock() == "restored to dvc.lock, which lacked them: page"
    mended = entries(LOCK.read_text())
    assert mended["fit"]["cmd"] == "another"
    assert mended["page"] == entries(whole)["page"]


@pytest.mark.parametrize(
    ("old", "new", "recorded"),
    [
        ("    outs: [fit.txt]\n    metrics:", "    outs: [fit.txt, fit.log]\n    metrics:", 2),  # not run again yet
        ("    metrics:\n      - score.json:\n          cache: false\n", "", 1),  # run again
    ],
)
def test_an_out_that_dvc_yaml_gets_or_loses_is_no_cut(finished: Path, old: str, new: str, recorded: int) -> None:
    keep_copy()
    declared = finished / "dvc.yaml"
    assert old in declared.read_text()
    declared.write_text(declared.read_text().replace(old, new))
    content = yaml.safe_load(LOCK.read_text())
    content["stages"]["fit"]["outs"] = content["stages"]["fit"]["outs"][:recorded]
    LOCK.write_text(dumps_yaml(content))
    keep_copy()
    assert COPY.read_text() == LOCK.read_text()
    assert repair_lock() is None
