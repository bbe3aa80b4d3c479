"""Are these positions of cells? The spatial coordinates of a lab's file, checked. Axes: N cells, S dimensions."""

import numpy as np

from pipeline.data.coordinates import DIMENSIONS, Coordinates
from pipeline.data.h5ad import obsm_keys, read_obsm
from pipeline.data.source import Findings, Source, cell_numbers, close_to, counted, listed


def read_positions(source: Source, key: str, cells: int, findings: Findings) -> Coordinates | None:
    """The coordinates (N, S) in obsm under `key`; None, which is a problem, where they cannot be used."""
    where, setting = f"obsm {key!r} (spatial)", source.key("spatial")
    known = obsm_keys(source.path)
    if key not in known:
        findings.problem(
            where,
            f"no such array; there are {listed(known)}",
            "the positions of the cells",
            f"set {setting} to the array that holds them{close_to(key, known)}, or to null",
        )
        return None
    found = read_obsm(source.path, key)
    shape = None if found is None else found.shape
    if found is None or shape not in [(cells, dimensions) for dimensions in DIMENSIONS]:
        findings.problem(
            where,
            "something else than an array of numbers" if shape is None else f"an array of shape {shape}",
            f"2 or 3 coordinates for each of {counted(cells, 'cell')}",
            f"write the positions as such an array, or set {setting} to null",
        )
        return None
    places_NS = found.astype(np.float64)
    lost = np.flatnonzero(~np.isfinite(places_NS).all(axis=1))
    if len(lost):
        findings.problem(
            where,
            f"{counted(len(lost), 'cell')} with a NaN or infinite coordinate, such as {cell_numbers(lost)}",
            "finite coordinates for every cell",
            "drop these cells from the file, or give them their places",
        )
        return None
    return places_NS
