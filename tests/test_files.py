"""Atomic writes: after any failure the previous result is there, whole, and nothing else."""

import errno
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import torch

from pipeline.bayes_moe.data.images import Images, write_images
from pipeline.core.errors import ExpectedError, expected_error
from pipeline.core.files import atomic_file, atomic_folder, read_json, sha256, write_json, write_text
from pipeline.data.h5ad_writer import h5ad_file

ROOT = Path(__file__).parents[1]


def test_a_file_appears_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "a.txt", "naïve\n")
    assert (tmp_path / "deep" / "a.txt").read_text(encoding="utf-8") == "naïve\n"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.txt"]


def test_a_failed_write_leaves_the_previous_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "before")

    def fail_half_way() -> None:
        with atomic_file(target) as partial:
            partial.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_replaces_the_previous_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "store"
    for content in ("one", "two"):
        with atomic_folder(target) as partial:
            (partial / "sub").mkdir()
            (partial / "sub" / content).write_text(content)
    assert [p.name for p in (target / "sub").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_a_failed_folder_leaves_the_previous_one(tmp_path: Path) -> None:
    target = tmp_path / "store"
    with atomic_folder(target) as partial:
        (partial / "a").write_text("before")

    def fail_half_way() -> None:
        with atomic_folder(target) as partial:
            (partial / "a").write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert (target / "a").read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def _images(folder: Path) -> None:
    image_NHWC = np.zeros((64, 32, 32, 3), np.uint8)
    write_images(folder / "images", Images(image_NHWC, np.zeros(64, np.int64)))


def _parquet(folder: Path) -> None:
    pq.write_table(pa.table({"x": np.random.default_rng(0).random(50_000)}), folder / "a.parquet")


def _safetensors(folder: Path) -> None:
    safetensors.numpy.save_file({"x": np.zeros(50_000)}, folder / "a.safetensors")


def _torch_into_a_stream(folder: Path) -> None:
    with (folder / "a.pt").open("wb") as stream:
        torch.save({"x": torch.zeros(50_000)}, stream)


def _h5ad(folder: Path) -> None:
    with h5ad_file(folder / "a.h5ad") as (file, _):
        file["x"] = np.zeros(50_000)


@pytest.fixture
def little_space() -> Iterator[None]:
    """No file of this process grows beyond 64 KB; Python ignores the signal that comes with the refusal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("write", [_images, _parquet, _safetensors, _torch_into_a_stream, _h5ad])
def test_every_library_that_cannot_write_on_ends_in_one_message(
    write: Callable[[Path], None], tmp_path: Path, little_space: None
) -> None:
    target = tmp_path / "result"
    with pytest.raises(Exception) as raised, atomic_folder(target) as folder:  # noqa: PT011
        write(folder)
    expected = expected_error(raised.value)
    assert expected is not None
    assert "cannot read or write" in str(expected)
    assert f"(while writing {target})" in str(expected)
    told = "could not be written whole, as on a full disk" if write is _images else "larger than this file system"
    assert told in str(expected)
    assert not list(tmp_path.iterdir())


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ExpectedError, match="no regular file"):
        write_text(pipe, "result")
    with socket.socket(socket.AF_UNIX) as listener, chdir(tmp_path):
        listener.bind("socket")
        with pytest.raises(ExpectedError, match="socket is no regular file"):
            write_text(Path("socket"), "result")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(ExpectedError, match="is a folder"):
        write_text(tmp_path, "result")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "socket"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_place_that_holds_no_files_is_one_message() -> None:
    with pytest.raises(ExpectedError, match="/proc holds no files that are written there"):
        write_text(Path("/proc/cells.h5ad"), "text")


def test_a_link_is_replaced_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    cached, out = tmp_path / "cached", tmp_path / "out"
    cached.write_text("one of many copies")
    out.symlink_to(cached)
    write_text(out, "result")
    assert (cached.read_text(), out.read_text()) == ("one of many copies", "result")


@contextmanager
def writing(folder: Path, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the middle of an atomic write of `target`; killed at the end."""
    half = {"file": "partial.write_text('half')", "folder": "(partial / 'a').write_text('half')"}[kind]
    code = (
        f"import sys; from pathlib import Path; from pipeline.core.files import atomic_{kind}\n"
        f"with atomic_{kind}(Path('target')) as partial:\n"
        f"    {half}; print('writing', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        yield process
        process.send_signal(signal.SIGKILL)


def test_a_killed_process_leaves_the_previous_file_and_the_next_write_tidies_up(tmp_path: Path) -> None:
    write_text(tmp_path / "target", "before")
    with writing(tmp_path, "file"):
        pass
    assert (tmp_path / "target").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2
    write_text(tmp_path / "target", "after")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"target": "after"}


def test_a_killed_process_leaves_the_previous_folder_and_the_next_write_tidies_up(tmp_path: Path) -> None:
    for content in ("before", "after"):
        with atomic_folder(tmp_path / "target") as partial:
            (partial / "a").write_text(content)
        assert [path.name for path in tmp_path.iterdir()] == ["target"]
        assert (tmp_path / "target" / "a").read_text() == content
        with writing(tmp_path, "folder"):
            pass
        assert (tmp_path / "target" / "a").read_text() == content
        assert len(list(tmp_path.iterdir())) == 2


def test_what_a_living_process_is_writing_stays(tmp_path: Path) -> None:
    with writing(tmp_path, "folder") as process:
        with atomic_folder(tmp_path / "target") as partial:
            (partial / "a").write_text("first")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0
    assert (tmp_path / "target" / "a").read_text() == "half"  # the last to finish
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_only_the_targets_own_leftovers_are_removed(tmp_path: Path) -> None:
    others = {".target.json.abcdefgh.partial", ".target.partial", "target.abcdefgh.partial", ".target.abcdefgh.kept"}
    for name in others | {".target.abcdefgh.partial"}:
        (tmp_path / name).mkdir()
    write_text(tmp_path / "target", "x")
    assert {path.name for path in tmp_path.iterdir()} == others | {"target"}


def test_without_locks_leftovers_stay_and_writing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("pipeline.core.files.fcntl.flock", no_locks)
    (tmp_path / ".target.abcdefgh.partial").mkdir()
    write_text(tmp_path / "target", "x")
    assert {path.name for path in tmp_path.iterdir()} == {".target.abcdefgh.partial", "target"}


def test_git_and_dvc_ignore_what_a_killed_process_leaves() -> None:
    leftover = "reports/cfm_vc/pbmc/.vae.json.abcdefgh.partial/vae.json"
    for command in (["git", "check-ignore"], [sys.executable, "-m", "dvc", "check-ignore"]):
        found = subprocess.run([*command, leftover], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        assert found.stdout.strip() == leftover


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a.txt", "x")
        with atomic_folder(tmp_path / "store") as partial:
            (partial / "a").write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o755


def test_json_refuses_what_is_not_a_number(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 0.1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json") == {"x": 0.1}
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 0.1}


def test_sha256_of_known_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
