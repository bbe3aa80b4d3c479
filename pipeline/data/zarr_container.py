"""An untrusted zarr store in a folder, opened for reading."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import ExpectedError
from pipeline.data.container import Node, reading

if TYPE_CHECKING:
    import zarr


class ZarrNode(Node):
    """A group or an array of a zarr store."""

    def __init__(self, raw: "zarr.Group | zarr.Array[Any]", path: Path) -> None:
        super().__init__(raw, path)
        if not self.is_group:
            self._check_codecs()

    @property
    def is_group(self) -> bool:
        return not hasattr(self._raw, "shape")

    @property
    def is_text(self) -> bool:
        return not self.is_group and self.dtype.kind in "OSTU"

    def get(self, name: str) -> "ZarrNode | None":
        current = self._raw
        with reading(self.path):
            for part in filter(None, name.split("/")):
                if hasattr(current, "shape") or part not in current:
                    return None
                current = current[part]
        return ZarrNode(current, self.path)

    def _check_codecs(self) -> None:
        """Refuse values that would be unpickled."""
        from numcodecs import Pickle  # type: ignore[import-untyped]

        with reading(self.path):
            codecs = getattr(self._raw.metadata, "filters", None) or ()
        if any(isinstance(codec, Pickle) for codec in codecs):
            raise ExpectedError(f"{self.path}: {self.name} holds pickled objects, which are not read: write it as text")


@contextmanager
def open_zarr(path: Path) -> Iterator[ZarrNode]:
    """The root of the store; ExpectedError where the folder is no store, or contains links or pipes."""
    import zarr  # takes a while

    for folder, folders, files in os.walk(path):
        for part in (Path(folder, name) for name in [*folders, *files]):
            if part.is_symlink() or not (part.is_file() or part.is_dir()):
                raise ExpectedError(
                    f"{path}: {part.relative_to(path)} is a link or no regular file: put a copy in its place"
                )
    with reading(path):
        root = zarr.open_group(path, mode="r", use_consolidated=False)  # a summary may be out of date
    yield ZarrNode(root, path)
