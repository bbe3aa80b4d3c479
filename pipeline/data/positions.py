"""Read and check the spatial coordinates of a lab's file. Axes: N cells, S dimensions."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.core.wording import close_to, counted, listed
from pipeline.data.columns import Column
from pipeline.data.coordinates import DIMENSIONS, Coordinates
from pipeline.data.h5ad import AnnDataFile
from pipeline.data.source import Findings, Source, cell_numbers


def read_positions(
    source: Source, file: AnnDataFile, cells: int, findings: Findings, optional: bool = True
) -> Coordinates | None:
    """The coordinates (N, S) that the source names; None where it names none, or where they are unusable, a problem.

    optional: whether the advice may suggest setting it to null.
    """
    if source.spatial is None:
        return None
    from_columns = not isinstance(source.spatial, str)
    found = _of_columns(source, file, findings) if from_columns else _of_array(source, file, cells, findings, optional)
    if found is None:
        return None
    places_NS = found.astype(np.float64)
    lost = np.flatnonzero(~np.isfinite(places_NS).all(axis=1))
    if len(lost):
        findings.problem(
            _where(source),
            f"{counted(len(lost), 'cell')} with a NaN or infinite coordinate, such as {cell_numbers(lost)}",
            "finite coordinates for every cell",
            "drop these cells from the file, or give them their places",
        )
        return None
    return places_NS


def repeats(places_NS: Coordinates, section_N: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """The cells, ascending, that lie exactly where an earlier cell of the same section lies."""
    order = np.lexsort([*places_NS.T, section_N])  # stable: of equals the earlier comes first
    same = (np.diff(places_NS[order], axis=0) == 0).all(axis=1) & (np.diff(section_N[order]) == 0)
    return np.sort(order[1:][same])


def one_place_each(source: Source, places_NS: Coordinates, columns: Mapping[str, Column], findings: Findings) -> None:
    """A rule: no two cells of a section lie in one place, unless the first is taken; no section is a single cell."""
    if "section" not in columns:
        return  # told already
    section = columns["section"]
    repeated = repeats(places_NS, section.codes)
    if len(repeated) and source.same_place == "refuse":
        findings.problem(
            _where(source),
            f"{counted(len(repeated), 'cell')} in the place of another cell of the same section, such as "
            f"{cell_numbers(repeated)}",
            "a place of its own for every cell of a section",
            f"set {source.key('same_place')} to first, if these are cells that the file holds twice: the first of each "
            f"is kept; or set {source.key('section')} to the column that tells sections apart",
        )
    sizes = np.bincount(section.codes[section.codes >= 0], minlength=len(section.labels))
    lone = [label for label, cells in zip(section.labels, sizes.tolist(), strict=True) if cells == 1]
    if lone:
        where = source.column("section") if "section" in source.columns else "cells in obs"
        findings.problem(
            where,
            f"{counted(len(lone), 'section')} of one cell ({listed(lone, 5)})",
            "at least 2 cells in each, many more to learn from",
            "drop these cells from the file, or name the sections by another column",
        )


def _where(source: Source) -> str:
    """How messages call the place of the coordinates."""
    if isinstance(source.spatial, str):
        return f"obsm {source.spatial!r} (spatial)"
    return f"obs columns {', '.join(map(repr, source.spatial or ()))} (spatial)"


def _of_array(source: Source, file: AnnDataFile, cells: int, findings: Findings, optional: bool) -> Coordinates | None:
    assert isinstance(source.spatial, str)
    setting, known = source.key("spatial"), file.obsm_keys()
    if source.spatial not in known:
        other = "or to null" if optional else "or to a list of the 2 or 3 obs columns that do"
        findings.problem(
            _where(source),
            f"no such array; there are {listed(known)}",
            "the positions of the cells",
            f"set {setting} to the array that holds them{close_to(source.spatial, known)}, {other}",
        )
        return None
    found = file.obsm(source.spatial)
    shape = None if found is None else found.shape
    if found is None or shape not in [(cells, dimensions) for dimensions in DIMENSIONS]:
        other = f", or set {setting} to null" if optional else ""
        findings.problem(
            _where(source),
            "something else than an array of numbers" if shape is None else f"an array of shape {shape}",
            f"2 or 3 coordinates for each of {counted(cells, 'cell')}",
            f"write the positions as such an array{other}",
        )
        return None
    return found


def _of_columns(source: Source, file: AnnDataFile, findings: Findings) -> Coordinates | None:
    parts, known = [], file.obs_columns()
    for name in source.spatial or ():
        if name not in known:
            findings.problem(
                f"obs column {name!r} (spatial)",
                f"no such column; there are {listed(known, 20)}",
                "a coordinate of the cells",
                f"name in {source.key('spatial')} the columns that hold them{close_to(name, known)}",
            )
            continue
        numbers = file.numbers(name)
        if numbers is None:
            findings.problem(
                f"obs column {name!r} (spatial)",
                "something else than numbers",
                "a coordinate of the cells",
                "write the column as numbers, or name another",
            )
            continue
        parts.append(numbers)
    return np.stack(parts, axis=1) if len(parts) == len(source.spatial or ()) else None
