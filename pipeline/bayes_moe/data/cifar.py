"""CIFAR-10 and CIFAR-100 in their binary and in their Python format, read from the archive without unpacking it to the
disk: https://www.cs.toronto.edu/~kriz/cifar.html.

Binary: a record is a label byte (CIFAR-100: a coarse and a fine one) and 3,072 bytes of a 32x32 image, channel by
channel; the names of the classes lie beside the records, one to a line. Python: pickled dictionaries of the same bytes
and labels, which are read without `pickle` (see `plain_pickle`).
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.bayes_moe.data.images import Images, ImageSource
from pipeline.bayes_moe.data.plain_pickle import UnknownPickleError, read_plain_pickle
from pipeline.core.errors import ExpectedError
from pipeline.data.file_kind import Kind, file_kind, unpacking

PIXELS, CHANNELS = 32, 3
VALUES = PIXELS * PIXELS * CHANNELS  # of an image
LARGEST = 1 << 29  # bytes, unpacked: the real ones have 184 MB, and a small archive can hold anything
MOST_MEMBERS = 1000


class _Format(NamedTuple):
    names: str  # file of class names
    label_bytes: int  # the last of which is the class


class _PythonFormat(NamedTuple):
    meta: str  # file with the names of classes
    names: str  # their key in it
    labels: str  # the key of labels in a batch
    prefixes: tuple[str, ...]  # of the files of batches

    @property
    def batch(self) -> tuple[tuple[str, type[Any]], tuple[str, type[Any]]]:
        """Keys of images and labels with their types."""
        return ("data", np.ndarray), (self.labels, list)

    def is_batch(self, name: str) -> bool:
        """Whether a file of the archive holds images."""
        return "." not in name and name.startswith(self.prefixes)


FORMATS = (_Format("batches.meta.txt", 1), _Format("fine_label_names.txt", 2))
PYTHON_FORMATS = (
    _PythonFormat("batches.meta", "label_names", "labels", ("data_batch", "test_batch")),
    _PythonFormat("meta", "fine_label_names", "fine_labels", ("train", "test")),
)


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
    a link or another special file, lacks a part, or where a file is truncated, holds a label without a name, or
    pickles anything else than CIFAR does.
    """
    kind = file_kind(path)
    try:
        with gzip.open(path) if kind == "gzip" else path.open("rb") as stream:
            members = _members(io.BufferedReader(_Bounded(stream, path), 1 << 20), path)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, RecursionError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")  # tarfile lists what each of its readers says
        raise ExpectedError(f"{path} cannot be read as a tar archive: {reason}; {_advice(path, kind)}") from None
    if any(form.names in members for form in FORMATS):
        return _binary(members, path)
    if any(form.meta in members for form in PYTHON_FORMATS):
        return _python(members, path)
    wanted = " or ".join([*(form.names for form in FORMATS), *(form.meta for form in PYTHON_FORMATS)])
    raise ExpectedError(f"{path} is not CIFAR in its binary or Python format: it has no {wanted}")


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
            if name.suffix in (".bin", ".txt", "") or name.name == "batches.meta":
                content = archive.extractfile(member)
                assert content is not None  # it is a file
                found[name.name] = content.read()
    return found


def _binary(members: Mapping[str, bytes], path: Path) -> ImageSource:
    form = next(form for form in FORMATS if form.names in members)
    classes = [line for line in members[form.names].decode("utf-8", "replace").splitlines() if line.strip()]
    splits = {}
    for split in ("train", "test"):
        files = {name: content for name, content in members.items() if name.endswith(".bin")}
        records = [_records(content, name, form, path) for name, content in _of_split(files, split, path).items()]
        whole = np.concatenate(records)
        splits[split] = _images(
            whole[:, form.label_bytes :], whole[:, form.label_bytes - 1], classes, split, form.names, path
        )
    return ImageSource(splits, classes)


def _records(content: bytes, name: str, form: _Format, path: Path) -> npt.NDArray[np.uint8]:
    record = form.label_bytes + VALUES
    if len(content) == 0 or len(content) % record:
        raise ExpectedError(
            f"{name} in {path} has {len(content):,} bytes, not a multiple of the {record:,} of a record: it is "
            "truncated, or of another format; fetch it again"
        )
    return np.frombuffer(content, np.uint8).reshape(-1, record)


def _python(members: Mapping[str, bytes], path: Path) -> ImageSource:
    form = next(form for form in PYTHON_FORMATS if form.meta in members)
    names = _entry(_pickled(members[form.meta], form.meta, path), form.names, list, form.meta, path)
    classes = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names]
    splits = {}
    for split in ("train", "test"):
        files = {name: content for name, content in members.items() if form.is_batch(name)}
        values, labels = [], []
        for name, content in _of_split(files, split, path).items():
            batch = _pickled(content, name, path)
            of_images, of_labels = (_entry(batch, key, kind, name, path) for key, kind in form.batch)
            counted = all(isinstance(label, int) and label >= 0 for label in of_labels)
            if of_images.shape != (len(of_labels), VALUES) or not counted:
                raise ExpectedError(
                    f"{name} in {path} holds images of shape {of_images.shape} and {len(of_labels):,} labels, not "
                    f"{VALUES:,} values and a whole number for each image; fetch it again"
                )
            values.append(of_images)
            labels += of_labels
        splits[split] = _images(np.concatenate(values), np.array(labels, np.int64), classes, split, form.meta, path)
    return ImageSource(splits, classes)


def _pickled(content: bytes, name: str, path: Path) -> dict[str, Any]:
    try:
        found = read_plain_pickle(content)
    except UnknownPickleError as error:
        raise ExpectedError(f"{name} in {path} is not read: {error}; fetch the archive again") from None
    if not isinstance(found, dict):
        raise ExpectedError(f"{name} in {path} holds no dictionary, as those of CIFAR do; fetch the archive again")
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in found.items()}


def _entry(found: Mapping[str, Any], key: str, kind: type[Any], name: str, path: Path) -> Any:
    if not isinstance(found.get(key), kind):
        raise ExpectedError(f"{name} in {path} has no {key!r} of the form that CIFAR has; fetch the archive again")
    return found[key]


def _of_split(files: Mapping[str, bytes], split: str, path: Path) -> dict[str, bytes]:
    found = {name: files[name] for name in sorted(files) if name.startswith("test") == (split == "test")}
    if not found:
        raise ExpectedError(f"{path} has no file of the {split} split")
    return found


def _images(
    value_NV: npt.NDArray[np.uint8],
    label_N: npt.NDArray[Any],
    classes: Sequence[str],
    split: str,
    names: str,
    path: Path,
) -> Images:
    label_N = label_N.astype(np.int64)
    if len(label_N) and label_N.max() >= len(classes):
        row = int(label_N.argmax())
        raise ExpectedError(
            f"image {row} of the {split} split of {path} has label {label_N[row]}, but {names} names "
            f"{len(classes)} classes (0 is the first)"
        )
    image_NHWC = value_NV.reshape(-1, CHANNELS, PIXELS, PIXELS).transpose(0, 2, 3, 1)
    return Images(np.ascontiguousarray(image_NHWC), label_N)
