"""CIFAR-10 and CIFAR-100 in their own binary format, read from the archive without unpacking it to the disk.

A record is a label byte (CIFAR-100: a coarse and a fine one) and 3,072 bytes of a 32x32 image, channel by channel:
https://www.cs.toronto.edu/~kriz/cifar.html. The names of the classes lie beside the records, one to a line.
"""

import gzip
import io
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np

from pipeline.bayes_moe.data.images import Images, ImageSource
from pipeline.core.errors import ExpectedError
from pipeline.data.file_kind import Kind, file_kind, unpacking

PIXELS, CHANNELS = 32, 3
LARGEST = 1 << 29  # bytes, unpacked: the real ones have 184 MB, and a small archive can hold anything
MOST_MEMBERS = 1000


class _Format(NamedTuple):
    names: str  # file of class names
    label_bytes: int  # the last of which is the class


FORMATS = (_Format("batches.meta.txt", 1), _Format("fine_label_names.txt", 2))


class _Bounded(io.RawIOBase):
    """A stream that ends in an ExpectedError after LARGEST bytes, whatever the headers of an archive claim."""

    def __init__(self, stream: io.BufferedIOBase, path: Path) -> None:
        self._stream, self._path, self._left = stream, path, LARGEST

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise ExpectedError(f"{self._path} unpacks to more than {LARGEST:,} bytes, far more than CIFAR has")
        buffer[: len(content)] = content
        return len(content)


def read_cifar(path: Path) -> ImageSource:
    """Training and test images of an archive (.tar.gz, or .tar).

    ExpectedError where it is no such archive, unpacks to more than LARGEST bytes, holds a path that leaves its folder,
    a link or another special file, lacks a part, or where a file is truncated or holds a label without a name.
    """
    kind = file_kind(path)
    try:
        with gzip.open(path) if kind == "gzip" else path.open("rb") as stream:
            members = _members(io.BufferedReader(_Bounded(stream, path), 1 << 20), path)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, RecursionError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")  # tarfile lists what each of its readers says
        raise ExpectedError(f"{path} cannot be read as a tar archive: {reason}; {_advice(path, kind)}") from None
    form = next((form for form in FORMATS if form.names in members), None)
    if form is None:
        wanted = " or ".join(form.names for form in FORMATS)
        raise ExpectedError(f"{path} is not CIFAR in its binary format: it has no {wanted}")
    classes = [line for line in members[form.names].decode("utf-8", "replace").splitlines() if line.strip()]
    return ImageSource(
        {split: _split(members, split, form, len(classes), path) for split in ("train", "test")}, classes
    )


def _advice(path: Path, kind: Kind) -> str:
    line = None if kind in ("gzip", "tar", "other") else unpacking(path, kind)
    return "fetch it again" if line is None else f"unpack it ({line}) and name what it holds"


def _members(stream: IO[bytes], path: Path) -> dict[str, bytes]:
    """Content of the files by their last name, all of one folder."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for number, member in enumerate(archive):
            name = PurePosixPath(member.name)
            shown = repr(member.name[:100])
            if number == MOST_MEMBERS:
                raise ExpectedError(f"{path} holds more than {MOST_MEMBERS:,} files, far more than CIFAR has")
            if name.is_absolute() or ".." in name.parts:
                raise ExpectedError(f"{path} holds the path {shown}, which leaves its folder; it is not trusted")
            if member.isdir():
                continue
            if not member.isfile():
                raise ExpectedError(f"{path} holds {shown}, which is a link or a special file; it is not trusted")
            if name.suffix in (".bin", ".txt"):
                content = archive.extractfile(member)
                assert content is not None  # it is a file
                found[name.name] = content.read()
    return found


def _split(members: dict[str, bytes], split: str, form: _Format, classes: int, path: Path) -> Images:
    names = sorted(name for name in members if name.endswith(".bin") and (name.startswith("test") == (split == "test")))
    if not names:
        raise ExpectedError(f"{path} has no .bin file of the {split} split")
    record = form.label_bytes + PIXELS * PIXELS * CHANNELS
    parts = []
    for name in names:
        content = np.frombuffer(members[name], np.uint8)
        if len(content) == 0 or len(content) % record:
            raise ExpectedError(
                f"{name} in {path} has {len(content):,} bytes, not a multiple of the {record:,} of a record: it is "
                "truncated, or of another format; fetch it again"
            )
        parts.append(content.reshape(-1, record))
    records = np.concatenate(parts)
    label_N = records[:, form.label_bytes - 1].astype(np.int64)
    if label_N.max() >= classes:
        row = int(label_N.argmax())
        raise ExpectedError(
            f"image {row} of the {split} split of {path} has label {label_N[row]}, but {form.names} names {classes} "
            "classes (0 is the first)"
        )
    image_NHWC = records[:, form.label_bytes :].reshape(-1, CHANNELS, PIXELS, PIXELS).transpose(0, 2, 3, 1)
    return Images(np.ascontiguousarray(image_NHWC), label_N)
