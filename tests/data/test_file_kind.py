"""What a path leads to: told by content, and never waited for."""

import bz2
import errno
import gzip
import io
import lzma
import os
import socket
import tarfile
import zipfile
from pathlib import Path

import h5py
import pytest

from pipeline.core.errors import ExpectedError
from pipeline.data.file_kind import file_kind, unpacking


def zipped() -> bytes:
    with zipfile.ZipFile(stream := io.BytesIO(), "w") as archive:
        archive.writestr("a.txt", "text")
    return stream.getvalue()


def tarred() -> bytes:
    with tarfile.open(fileobj=(stream := io.BytesIO()), mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "command"),
    [
        (gzip.compress(b"text"), "gzip", "gunzip --keep"),
        (bz2.compress(b"text"), "bzip2", "bunzip2 --keep"),
        (lzma.compress(b"text"), "xz", "unxz --keep"),
        (zipped(), "zip", "unzip"),
        (tarred(), "tar", "tar --extract --file"),
    ],
    ids=["gzip", "bzip2", "xz", "zip", "tar"],  # gzip writes the time: every worker must find the same names
)
def test_archives_are_told_by_content_with_the_line_that_unpacks_them(tmp_path, content, kind, command):
    path = tmp_path / "my cells.h5ad"
    path.write_bytes(content)
    assert file_kind(path) == kind
    assert unpacking(path, kind) == f"{command} '{path}'"


@pytest.mark.parametrize("userblock", [0, 512, 2048])
def test_hdf5_is_told_behind_a_user_block_too(tmp_path, userblock):
    with h5py.File(tmp_path / "cells", "w", userblock_size=userblock):
        pass
    assert file_kind(tmp_path / "cells") == "hdf5"
    assert unpacking(tmp_path / "cells", "hdf5") is None


def test_text_and_folders(tmp_path):
    (tmp_path / "series.csv").write_text("date,a\n2020-01-01,1\n")
    assert file_kind(tmp_path / "series.csv") == "other"
    assert file_kind(tmp_path) == "folder"
    (tmp_path / "zarr.json").write_text("{}")
    assert file_kind(tmp_path) == "zarr"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a Git LFS pointer.*git lfs pull"),
        ("\ufeff\n<!DOCTYPE html><html><body>Sign in", "is a page of the web"),
        ("<!-- proxy --><html><body>Sign in", "is a page of the web"),
        ("<HTML><HEAD>", "is a page of the web"),
        ("<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>", "is a page of the web"),
    ],
)
def test_what_stands_in_for_a_file_is_named(tmp_path, content, words):
    (tmp_path / "cells.h5ad").write_text(content, encoding="utf-8")
    with pytest.raises(ExpectedError, match=words):
        file_kind(tmp_path / "cells.h5ad")


def made(path: Path, how: str) -> Path:
    if how == "pipe":
        os.mkfifo(path)
    if how == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))  # the whole path may be longer than a socket's may be
    if how == "loop":
        path.symlink_to(path.with_name("other"))
        path.with_name("other").symlink_to(path)
    if how == "dangling":
        path.symlink_to("gone.h5ad")
    if how == "under a file":
        path.write_text("text")
        return path / "cells.h5ad"
    return path.with_name("n" * 300) if how == "long" else path


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("nothing", "not found: check the path"),
        ("under a file", "not found: check the path"),
        ("pipe", "is a named pipe"),
        ("socket", "is a socket"),
        ("loop", "is a loop of symbolic links"),
        ("dangling", "is a link to gone.h5ad, which is not there"),
        ("long", "is longer than a path may be"),
    ],
)
def test_what_cannot_be_read_is_refused_without_waiting(tmp_path, monkeypatch, how, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExpectedError, match=words):
        file_kind(made(tmp_path / "cells.h5ad", how))


def test_a_zero_byte_is_no_path():
    with pytest.raises(ExpectedError, match="cannot be the path of a file"):
        file_kind(Path("a\0b"))


def test_a_missing_file_that_dvc_tracks_is_to_be_fetched(tmp_path):
    (tmp_path / "my cells.h5ad.dvc").write_text("outs: []\n")
    with pytest.raises(
        ExpectedError, match=r"cells\.h5ad not found: DVC tracks it, fetch it with dvc pull '.*my cells\.h5ad'"
    ):
        file_kind(tmp_path / "my cells.h5ad")


def test_a_missing_permission_is_left_to_the_entry(tmp_path, monkeypatch):
    (tmp_path / "cells.h5ad").write_text("text")

    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(PermissionError):
        file_kind(tmp_path / "cells.h5ad")
