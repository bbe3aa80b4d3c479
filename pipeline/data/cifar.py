"""CIFAR-10 and CIFAR-100 in their own binary format, read from the archive without unpacking it to the disk.

A record is a label byte (CIFAR-100: a coarse and a fine one) and 3,072 bytes of a 32x32 picture, channel by channel:
https://www.cs.toronto.edu/~kriz/cifar.html. The names of the classes lie beside the records, one to a line.
"""

import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from pipeline.data.pictures import Pictures, PictureSource
from pipeline.errors import ExpectedError

PIXELS, CHANNELS = 32, 3
LARGEST_MEMBER = 1 << 29  # bytes; the real ones are 150 MB at most, and a small archive can claim anything


class _Format(NamedTuple):
    names: str  # file of class names
    label_bytes: int  # the last of which is the class


FORMATS = (_Format("batches.meta.txt", 1), _Format("fine_label_names.txt", 2))


def read_cifar(path: Path) -> PictureSource:
    """Training and test pictures of an archive (.tar.gz).

    ExpectedError where it is no such archive, holds a path that leaves its folder, a link or another special file,
    lacks a part, or where a file is truncated or holds a label without a name.
    """
    try:
        with tarfile.open(path, "r:*") as archive:
            members = _members(archive, path)
            form = next((form for form in FORMATS if form.names in members), None)
            if form is None:
                wanted = " or ".join(form.names for form in FORMATS)
                raise ExpectedError(f"{path} is not CIFAR in its binary format: it has no {wanted}")
            classes = [line for line in members[form.names].decode("utf-8", "replace").splitlines() if line.strip()]
            splits = {split: _split(members, split, form, len(classes), path) for split in ("train", "test")}
    except FileNotFoundError:
        raise ExpectedError(f"there is no file {path}") from None
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = str(error).partition("\n")[0].rstrip(":")  # tarfile lists what each of its readers says
        raise ExpectedError(f"{path} cannot be read as a tar archive: {reason}; fetch it again") from None
    return PictureSource(splits, classes)


def _members(archive: tarfile.TarFile, path: Path) -> dict[str, bytes]:
    """Content of the files by their last name, all of one folder."""
    found: dict[str, bytes] = {}
    for member in archive:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts:
            raise ExpectedError(f"{path} holds the path {member.name!r}, which leaves its folder; it is not trusted")
        if member.isdir():
            continue
        if not member.isfile():
            raise ExpectedError(f"{path} holds {member.name!r}, which is a link or a special file; it is not trusted")
        if name.suffix not in (".bin", ".txt"):
            continue
        if member.size > LARGEST_MEMBER:
            raise ExpectedError(f"{path} holds {member.name!r} of {member.size:,} bytes, far more than CIFAR has")
        stream = archive.extractfile(member)
        assert stream is not None  # it is a file
        found[name.name] = stream.read()
    return found


def _split(members: dict[str, bytes], split: str, form: _Format, classes: int, path: Path) -> Pictures:
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
            f"picture {row} of the {split} split of {path} has label {label_N[row]}, but {form.names} names {classes} "
            "classes (0 is the first)"
        )
    picture_NHWC = records[:, form.label_bytes :].reshape(-1, CHANNELS, PIXELS, PIXELS).transpose(0, 2, 3, 1)
    return Pictures(np.ascontiguousarray(picture_NHWC), label_N)
