"""User-supplied annotations for new cells: labels, coordinates, and which of them are controls.

N: cells supplied, S: spatial dimensions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import close_to, counted, listed
from pipeline.data.columns import MISSING_TEXTS, Column, missing_but
from pipeline.data.coordinates import Coordinates, Frame
from pipeline.data.new_cells import NewCells

Labels = npt.NDArray[np.object_]


@dataclass(frozen=True)
class ObsAnnotations:
    """Labels of new cells: one for all cells, or the obs column that holds them; "unknown" by default.

    spatial: key of obsm that holds the cells' coordinates, in the unit of the training data; unknown by default.
    Where `perturbation_column` is given, only the cells with the label `control` in it are used.
    """

    cell_type: str | None = None
    cell_type_column: str | None = None
    batch: str | None = None
    batch_column: str | None = None
    perturbation_column: str | None = None
    control: str | None = None
    spatial: str | None = None

    def labels(self, new: NewCells, covariate: str) -> Labels:
        """The label of each cell, (N,), "" where there is none. ExpectedError: given twice, or no such column."""
        label, column = getattr(self, covariate), getattr(self, f"{covariate}_column")
        if label is not None and column is not None:
            raise ExpectedError(
                f"both a {covariate} for all cells ({label!r}) and a column of them ({column!r}): give one"
            )
        if column is not None:
            return labels_in(new, column)
        return np.full(len(new.obs), label or "", object)

    def kept(self, new: NewCells, control: str) -> npt.NDArray[np.bool_]:
        """Which cells to use, (N,), `control` being their label by default; ExpectedError where none is left."""
        if self.control == "":
            raise ExpectedError("the label of control cells is empty: name one that the column holds")
        wanted = self.control or control
        if self.perturbation_column is None:
            if self.control is not None:
                raise ExpectedError(f"a control label ({self.control!r}) without the column of obs that holds it")
            return np.ones(len(new.obs), bool)
        column = column_in(new, self.perturbation_column, missing_but(wanted))
        kept_N: npt.NDArray[np.bool_] = column.texts() == wanted
        if not kept_N.any():
            raise ExpectedError(
                f"{new.where}: no cell has the label {wanted!r} in obs column {self.perturbation_column!r}; "
                f"there are {listed(column.labels)}{column.missing_texts()}"
            )
        return kept_N

    def places(self, new: NewCells, frame: Frame | None) -> npt.NDArray[np.float32] | None:
        """Coordinates (N, S) as the model sees them, or None where they are not given.

        frame: the model's; ExpectedError where it has none, or the array does not fit it.
        """
        if self.spatial is None:
            return None
        if frame is None:
            raise ExpectedError("the model was trained without spatial coordinates, so it cannot use any")
        return frame.scaled(places_in(new, self.spatial, frame.dimensions))


def places_in(new: NewCells, key: str, dimensions: int) -> Coordinates:
    """Coordinates (N, S) from obsm, unscaled; ExpectedError where they are missing or have another shape."""
    if key not in new.obsm_keys:
        raise ExpectedError(
            f"{new.where}: no obsm {key!r}{close_to(key, new.obsm_keys)}; there are {listed(new.obsm_keys)}"
        )
    places_NS = new.obsm(key)
    if places_NS is None or places_NS.shape != (len(new.obs), dimensions) or not np.isfinite(places_NS).all():
        raise ExpectedError(
            f"{new.where}: obsm {key!r} is no array of {dimensions} finite coordinates for each of "
            f"{counted(len(new.obs), 'cell')}, as in the training data"
        )
    return places_NS.astype(np.float64)


def labels_in(new: NewCells, column: str) -> Labels:
    """The labels (N,) in a column of obs, or in its index by name, "" where there is none."""
    return column_in(new, column, MISSING_TEXTS).texts()


def column_in(new: NewCells, column: str, missing: frozenset[str]) -> Column:
    """An obs column, or the index by its name; missing: texts that mean no label. ExpectedError: no such column."""
    known = [str(name) for name in new.obs.columns]
    if column not in (*known, new.obs.index.name or "_index"):
        raise ExpectedError(
            f"{new.where}: obs has no column {column!r}{close_to(column, known)}; it has {listed(known)}"
        )
    return new.column(column, missing)
