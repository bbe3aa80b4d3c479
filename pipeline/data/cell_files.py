"""What files of cells hold, before anything is said of them: columns of labels, positions, where the counts are.

N: cells of all files, S: spatial dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import close_to, counted, listed
from pipeline.data.columns import Column, joined
from pipeline.data.coordinates import DIMENSIONS
from pipeline.data.count_checks import first_counts, places_in_order
from pipeline.data.file_kind import file_kind
from pipeline.data.h5ad import open_anndata
from pipeline.data.input_files import input_files, is_cells
from pipeline.data.quality import counts_per_cell
from pipeline.params.obs_column import ObsColumn

MOST_NUMBERS = 1_000  # different whole numbers of a column that may be labels


@dataclass(frozen=True)
class CellFiles:
    """One file, or several that are read as one."""

    files: tuple[Path, ...]
    cells: int
    genes: int  # of the counts, in the file that has the fewest
    labels: dict[str, Column]  # obs columns that every file has: texts, or a few whole numbers
    numbers: list[str]  # obs columns of numbers
    arrays: dict[str, int]  # keys in obsm with 2 or 3 coordinates per cell: how many
    counts: str | None  # the first place that holds counts in every file
    no_counts: str  # why there is none
    totals: npt.NDArray[np.int64]  # of the first cells of each file: counts
    detected: npt.NDArray[np.int64]  # ... and genes

    @property
    def described(self) -> str:
        """For people."""
        name = self.files[0].name if len(self.files) == 1 else counted(len(self.files), "file")
        return f"{name}: {self.cells:,} cells x {self.genes:,} genes"

    def column(self, wanted: ObsColumn, key: str) -> Column:
        """A column, or the part of it that the pattern matches. ExpectedError, which names the key that asks for it,
        where a file has no such column."""
        if wanted.pattern is None and wanted.column in self.labels:
            return self.labels[wanted.column]
        parts = []
        for path in self.files:
            with open_anndata(path) as file:
                known = file.obs_columns()
                if wanted.column not in (*known, file.obs_index):
                    raise ExpectedError(
                        f"{key} = {wanted.column}: {path} has no such obs column{close_to(wanted.column, known)}; "
                        f"it has {listed(known, 20)}"
                    )
                parts.append(file.column(wanted.column, wanted.pattern))
        return joined(parts)

    def of_numbers(self, name: str) -> npt.NDArray[np.float64]:
        """One of `numbers`, (N,)."""
        return np.concatenate([_number(path, name) for path in self.files])

    def positions(self, spatial: str | Sequence[str]) -> npt.NDArray[np.float64]:
        """The coordinates in an array, or in several columns of numbers, (N, S)."""
        if not isinstance(spatial, str):
            return np.stack([self.of_numbers(name) for name in spatial], axis=1)
        parts = []
        for path in self.files:
            with open_anndata(path) as file:
                found = file.obsm(spatial)
                assert found is not None, "one of `arrays`"
                parts.append(found.astype(np.float64))
        return np.concatenate(parts)

    def file_of_cell(self) -> Column:
        """Which file each cell is of, by its stem."""
        sizes = []
        for path in self.files:
            with open_anndata(path) as file:
                sizes.append(sum(map(len, file.name_blocks("obs"))))
        return Column(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes), [file.stem for file in self.files], [])


def are_cells(paths: Sequence[Path]) -> bool:
    """Whether these are AnnData files or stores, or one folder of them, as far as kinds and names tell."""
    kinds = [file_kind(path) for path in paths]
    if kinds == ["folder"]:
        return any(map(is_cells, paths[0].iterdir()))
    return all(kind in ("hdf5", "zarr") for kind in kinds)


def look_into(paths: tuple[Path, ...]) -> CellFiles:
    """Read covariates and forms, and a block of counts, of files that did not change only once.

    ExpectedError where a file is no AnnData, or has no cells.
    """
    files = tuple(input_files([str(path) for path in paths], "path").files)
    return _looked(files, tuple((file.absolute(), file.stat().st_mtime_ns) for file in files))


@cache
def _looked(files: tuple[Path, ...], _: tuple[tuple[Path, int], ...]) -> CellFiles:
    looks = [_look(path) for path in files]
    first = looks[0]
    labels = {
        name: joined([look.labels[name] for look in looks])
        for name in first.labels
        if all(name in look.labels for look in looks)
    }
    place = next((place for place in first.counts if all(place in look.counts for look in looks)), None)
    empty = np.zeros(0, np.int64)
    return CellFiles(
        files,
        sum(look.cells for look in looks),
        min(look.counts[place].genes if place else look.genes for look in looks),
        labels,
        [name for name in first.numbers if all(name in look.numbers for look in looks)],
        {key: number for key, number in first.arrays.items() if all(key in look.arrays for look in looks)},
        place,
        "; ".join(dict.fromkeys(reason for look in looks for reason in look.refused)) or "there is no matrix",
        np.concatenate([look.counts[place].totals for look in looks]) if place else empty,
        np.concatenate([look.counts[place].detected for look in looks]) if place else empty,
    )


@dataclass(frozen=True)
class _Counts:
    """What the first cells of a matrix of counts have."""

    genes: int
    totals: npt.NDArray[np.int64]
    detected: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Look:
    """What one file holds."""

    cells: int
    genes: int
    labels: dict[str, Column]
    numbers: list[str]
    arrays: dict[str, int]
    counts: dict[str, _Counts]  # by place
    refused: list[str]  # places that hold something else, and what


def _look(path: Path) -> _Look:
    with open_anndata(path) as file:
        cells = sum(map(len, file.name_blocks("obs")))
        if not cells:
            raise ExpectedError(f"{path} has no cells")
        labels, numbers = {}, []
        for name in file.obs_columns():
            found = file.numbers(name)
            if found is not None:
                numbers.append(name)
                known = found[np.isfinite(found)]
                if (known != np.rint(known)).any() or len(np.unique(known)) > MOST_NUMBERS:
                    continue
            column = file.column(name)
            if 1 <= len(column.labels) <= max(2, cells // 2):
                labels[name] = column
        arrays = {}
        for key in file.obsm_keys():
            form = file.obsm_form(key)
            if form is not None and len(form.shape) == 2 and form.shape[1] in DIMENSIONS and form.shape[0] == cells:
                arrays[key] = form.shape[1]
        counts, refused = {}, []
        for place in places_in_order(file):
            matrix = file.counts(place)
            looked = first_counts(matrix, cells)
            if isinstance(looked, str):
                refused.append(f"{place} has {looked}")
            else:
                counts[place] = _Counts(matrix.shape[1], counts_per_cell(looked), np.diff(looked.indptr))
        return _Look(cells, sum(map(len, file.name_blocks("var"))), labels, numbers, arrays, counts, refused)


def _number(path: Path, name: str) -> npt.NDArray[np.float64]:
    with open_anndata(path) as file:
        found = file.numbers(name)
        assert found is not None, "one of `numbers`"
        return found


def shown_labels(column: Column, most: int = 3) -> str:
    """A column for people: "5 labels: a, b, c and 2 more"."""
    return f"{counted(len(column.labels), 'label')}: {listed(column.labels, most)}"
