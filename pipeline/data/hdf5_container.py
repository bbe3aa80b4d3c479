"""An untrusted HDF5 file, opened for reading: links and storage outside the file are refused, never followed."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.data.container import Node, reading
from pipeline.data.stored_values import StoredValues

MOST_COMPRESSED = 1100  # deflate expands a byte to at most 1,032, and no filter shipped with HDF5 expands more
UNSTORED = 64 << 20  # bytes that an array may claim beyond what is stored of it
MOST_LINKS = 16  # in a chain

_ATTRIBUTES = (h5py.h5t.STRING, h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM, h5py.h5t.REFERENCE)
_LOCKED = (errno.EAGAIN, errno.EACCES)  # errno where another process holds the lock
_LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Hdf5Node(Node):
    """A group or an array inside an HDF5 file."""

    def __init__(self, raw: Any, path: Path) -> None:
        super().__init__(raw, path)
        if isinstance(raw, h5py.Dataset):
            self._check_storage()
        elif not isinstance(raw, h5py.Group):
            raise self.damaged("it is neither a group nor an array")

    @cached_property
    def _stored(self) -> StoredValues | None:
        return StoredValues.of(self._raw)

    def _values(self, start: int, stop: int) -> npt.NDArray[Any]:
        stored = self._stored
        return super()._values(start, stop) if stored is None else stored.read(start, stop)

    @property
    def is_group(self) -> bool:
        return isinstance(self._raw, h5py.Group)

    @property
    def is_text(self) -> bool:
        return not self.is_group and (h5py.check_string_dtype(self.dtype) is not None or self.dtype.kind in "SU")

    def get(self, name: str) -> "Hdf5Node | None":
        with reading(self.path):
            raw = self._followed(self._raw, name, 0)
        return None if raw is None else Hdf5Node(raw, self.path)

    def referred(self, reference: Any) -> "Hdf5Node | None":
        if not isinstance(reference, h5py.Reference) or not reference:
            return None
        with reading(self.path):
            name = h5py.h5r.get_name(reference, self._raw.file.id)
        return None if name is None else Hdf5Node(self._raw.file, self.path).get(name.decode())

    def _followed(self, group: Any, name: str, links: int) -> Any:
        """What a path of names leads to; each link is checked before it is followed."""
        current = group.file if name.startswith("/") else group
        for part in filter(None, name.split("/")):
            if not isinstance(current, h5py.Group) or not current.id.links.exists(part.encode()):
                return None
            link = current.id.links.get_info(part.encode()).type
            if link == h5py.h5l.TYPE_HARD:
                current = current[part]
            elif link == h5py.h5l.TYPE_SOFT and links < MOST_LINKS:
                target = current.id.links.get_val(part.encode()).decode("utf-8", "replace")
                current = self._followed(current, target, links + 1)
            elif link == h5py.h5l.TYPE_SOFT:
                raise ExpectedError(f"{self.path}: {name} is a loop of links inside the file: write it again")
            else:
                raise self._leaves(name, "a link to another file")
        return current

    def _check_storage(self) -> None:
        """Refuse values stored in other files, and declared sizes that the file cannot hold."""
        with reading(self.path):
            outside = bool(self._raw.external)
            virtual = self._raw.is_virtual
            stored = int(self._raw.id.get_storage_size())
            values = int(np.prod(self._raw.shape or (), dtype=object))
            claimed = values * int(self._raw.id.get_type().get_size())
        if outside or virtual:
            raise self._leaves(self.name, "values kept in another file" if outside else "a view of other files")
        if claimed > MOST_COMPRESSED * stored + UNSTORED:
            raise self.damaged(f"it claims {values:,} values, {claimed / 1e9:,.1f} GB, of which {stored:,} bytes exist")

    def _check_attribute(self, name: str) -> None:
        """h5py crashes on some types that damaged bytes can decode to; anndata writes none of them."""
        kind = self._raw.attrs.get_id(name).get_type().get_class()
        if kind not in _ATTRIBUTES:
            raise self.damaged(f"its attribute {name!r} is neither text, number nor reference")

    def _leaves(self, name: str, what: str) -> ExpectedError:
        return ExpectedError(
            f"{self.path}: {name} is {what}, and a file that takes its content from elsewhere is not read: write all "
            "of it into one file"
        )


@contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5Node]:
    """The root of an HDF5 file; ExpectedError where it cannot be opened, with the reason."""
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        raise _not_opened(path, error) from error
    with file:
        yield Hdf5Node(file, path)


def _not_opened(path: Path, error: OSError | RuntimeError) -> ExpectedError:
    number, detail = getattr(error, "errno", None), " ".join(str(error).split())
    if "unable to lock" in detail and number in _LOCKED:
        return ExpectedError(
            f"{path} is open for writing in another process, so what it holds may change: close it there, then run "
            "this again"
        )
    if "unable to lock" in detail or number in _LOCKLESS:
        return ExpectedError(
            f"{path} cannot be locked, as on some network disks ({detail}): copy it to a disk of this machine, or set "
            "HDF5_USE_FILE_LOCKING=FALSE while nothing writes to it"
        )
    if "already open for" in detail:
        return ExpectedError(
            f"{path} says that it is open for writing: close the program that writes it. If that was killed, its flag "
            f"is left over: clear it with h5clear -s {path}"
        )
    if "truncated" in detail:
        return ExpectedError(f"{path} is truncated, a copy that broke off: fetch or write it again")
    return ExpectedError(f"{path} is damaged, HDF5 cannot open it ({detail}): fetch or write it again")
