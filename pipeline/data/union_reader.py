"""Reading several standard files as one: the same interface as `StandardH5adReader` of one file.

Files are opened when they are read, and some of them stay open, since cells are also read in runs from all over.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json, write_json
from pipeline.data.columns import Column, joined
from pipeline.data.coordinates import Coordinates
from pipeline.data.csr import CsrBlock
from pipeline.data.gene_places import GenePlaces
from pipeline.data.standard_h5ad_reader import StandardH5adReader, open_standard_h5ad
from pipeline.data.treatment_labels import LabelDoses

MOST_OPEN = 16
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Member:
    """One of the files, by its standard copy."""

    copy: str  # its path, relative to the project's root
    stem: str  # of the lab's file
    cells: int
    nonzeros: int  # stored entries, also of genes that are not in every file


@dataclass(frozen=True)
class Union:
    """What is read as one: cells file after file, over the genes that every file has."""

    genes: list[str]
    members: list[Member]
    names_repeat: bool  # across files, so that each has the stem of its file in front
    sections_repeat: bool  # likewise

    def write(self, path: Path) -> None:
        """As JSON."""
        write_json(path, {"schema_version": SCHEMA_VERSION, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> "Union":
        """ExpectedError where it is damaged or of another version."""
        again = f"make it again with: dvc repro --force ingest@{path.parts[-3]}-{path.parts[-2]}"
        try:
            known: dict[str, Any] = read_json(path)
        except ValueError as error:
            raise ExpectedError(f"{path} is damaged: {error}; {again}") from error
        if known.pop("schema_version", None) != SCHEMA_VERSION:
            raise ExpectedError(f"{path} is of another version than this code: {again}")
        return cls(members=[Member(**member) for member in known.pop("members")], **known)


class UnionReader:
    """The cells of all files. Not to be read by two threads at the same time; `close` it, or use `with`."""

    def __init__(self, union: Union, root: Path) -> None:
        """root: of the project."""
        self._union, self._root = union, root
        self.genes = union.genes
        ends = np.cumsum([member.cells for member in union.members]).tolist()
        self.files = tuple(zip([0, *ends[:-1]], ends, strict=True))  # first row and end of each file
        self.cells: int = ends[-1]
        self.nonzeros = sum(member.nonzeros for member in union.members)
        self._open: OrderedDict[int, tuple[StandardH5adReader, ExitStack]] = OrderedDict()  # the last read comes last
        self._places: dict[int, GenePlaces] = {}

    def __enter__(self) -> "UnionReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1][1].close()

    def covariate(self, name: str) -> Column:
        """An obs column as codes, (N,), into the sorted labels of all files; every cell has one."""
        columns = [reader.covariate(name) for reader in self._each()]
        if name == "section" and self._union.sections_repeat:
            columns = [
                Column(column.codes, [f"{member.stem}/{label}" for label in column.labels], [])
                for column, member in zip(columns, self._union.members, strict=True)
            ]
        return joined(columns)

    def doses(self) -> LabelDoses | None:
        """{perturbation label: {treatment: dose}}, sorted, or None where each label is a treatment of its own.

        A label contains its treatments and doses, so it stands for the same in every file.
        """
        found = [doses for reader in self._each() if (doses := reader.doses()) is not None]
        doses_of = {label: doses for of_file in found for label, doses in of_file.items()}
        return {label: doses_of[label] for label in sorted(doses_of)} if found else None

    def spatial(self) -> Coordinates | None:
        """Spatial coordinates of all cells, (N, S), in the unit of the input; None where there are none."""
        found = [places_NS for reader in self._each() if (places_NS := reader.spatial()) is not None]
        return np.concatenate(found) if found else None

    def block(self, start: int, stop: int) -> CsrBlock:
        """Counts of the cells from `start` to before `stop`: no explicit zeros, genes ascending inside each cell."""
        parts = [
            self._places_of(number).apply(self._reader(number).block(first, last))
            for number, first, last in self._within(start, stop)
        ]
        if len(parts) == 1:
            return CsrBlock(start, parts[0].indptr, parts[0].indices, parts[0].counts)
        sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.indptr) for part in parts)])
        indices = np.concatenate([np.zeros(0, np.int32), *(part.indices for part in parts)])
        counts = np.concatenate([np.zeros(0, np.int32), *(part.counts for part in parts)])
        return CsrBlock(start, np.cumsum(sizes), indices, counts)

    def names(self, start: int, stop: int) -> npt.NDArray[np.object_]:
        """Names of the cells from `start` to before `stop`."""
        found = []
        for number, first, last in self._within(start, stop):
            names = self._reader(number).names(first, last)
            found.append(f"{self._union.members[number].stem}/" + names if self._union.names_repeat else names)
        return np.concatenate(found) if found else np.zeros(0, object)

    def _within(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Each file with some of these cells, and which of its own rows they are."""
        for number, (first, end) in enumerate(self.files):
            if max(start, first) < min(stop, end):
                yield number, max(start, first) - first, min(stop, end) - first

    def _each(self) -> Iterator[StandardH5adReader]:
        return (self._reader(number) for number in range(len(self.files)))

    def _places_of(self, number: int) -> GenePlaces:
        if number not in self._places:
            self._places[number] = GenePlaces.of(self._reader(number).genes, self.genes)
        return self._places[number]

    def _reader(self, number: int) -> StandardH5adReader:
        if number not in self._open:
            if len(self._open) == MOST_OPEN:
                self._open.popitem(last=False)[1][1].close()
            self._open[number] = self._opened(number)
        self._open.move_to_end(number)
        return self._open[number][0]

    def _opened(self, number: int) -> tuple[StandardH5adReader, ExitStack]:
        member = self._union.members[number]
        path = self._root / member.copy
        with ExitStack() as stack:
            reader = stack.enter_context(open_standard_h5ad(path))
            if reader.cells != member.cells:
                raise ExpectedError(
                    f"{path} has {reader.cells:,} cells, and had {member.cells:,} when the files were merged: run dvc "
                    "repro again"
                )
            return reader, stack.pop_all()
