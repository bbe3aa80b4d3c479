"""A DVC that is killed while it writes its list of busy paths."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.fs import localfs

from workflow.job_dvc import WholeFiles

KILLED_AT_ITS_END = """
import json, os, signal, sys
from dvc import rwlock
from dvc.fs import localfs
from workflow import job_dvc

def half(content, stream):
    stream.write(json.dumps(content)[:1])
    stream.flush()
    os.kill(os.getpid(), signal.SIGTERM)

with {function}(sys.argv[1], localfs, "repro", ["/data/in"], ["/data/out"], False):
    rwlock.json.dump = half
"""


def list_after_kill(function: str, folder: Path) -> str:
    """What a DVC has left as its list that was ended while it took its two paths from it."""
    code = KILLED_AT_ITS_END.format(function=function)
    assert subprocess.run([sys.executable, "-c", code, str(folder)]).returncode == -signal.SIGTERM
    return (folder / "rwlock").read_text()


def test_a_kill_leaves_the_list_as_it_was(tmp_path: Path) -> None:
    kept = json.loads(list_after_kill("job_dvc.locked", tmp_path))
    assert (list(kept["read"]), list(kept["write"])) == (["/data/in"], ["/data/out"])


def test_dvc_alone_would_leave_it_cut(tmp_path: Path) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(list_after_kill("rwlock.rwlock", tmp_path))


def test_only_files_written_anew_are_written_beside(tmp_path: Path) -> None:
    file = tmp_path / "list"
    files = WholeFiles(localfs)
    with files.open(str(file), "w", encoding="utf-8") as stream:
        stream.write("first")
        assert not file.exists()
    with files.open(str(file), encoding="utf-8") as stream:
        assert stream.read() == "first"
    assert files.join("a", "b") == "a/b"
    assert [path.name for path in tmp_path.iterdir()] == ["list"]
