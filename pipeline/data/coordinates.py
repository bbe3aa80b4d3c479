"""The frame of the models' spatial coordinates: centred, and divided by one scale for all axes.

One scale, since a scale per axis would distort the tissue. Axes: N cells, S dimensions (2 or 3).
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError

Coordinates = npt.NDArray[np.float64]
DIMENSIONS = (2, 3)


@dataclass(frozen=True)
class Frame:
    """Centre and scale, in the unit of the input."""

    dimensions: int
    centre: list[float]  # mean position of the cells that the frame was made of, (S,)
    scale: float  # of these cells, from the root-mean-square distance to it

    @classmethod
    def of(cls, training_NS: Coordinates) -> Self:
        """The frame in which these cells have mean 0 and a root-mean-square radius of 1.

        ExpectedError where all of them lie in one place.
        """
        centre_S, radius = _centre_and_radius(training_NS)
        if not radius:
            raise ExpectedError(
                "all training cells have the same spatial coordinates: point cfm_vc.ingest.spatial at the "
                "positions of the cells, or leave it null"
            )
        return cls(training_NS.shape[1], centre_S.tolist(), radius)

    @classmethod
    def of_section(cls, places_NS: Coordinates, section: str) -> Self:
        """The frame of a section of tissue: these cells have mean 0 and, on the average over axes, variance 1.

        So a single coordinate has the same scale in 2 and 3 dimensions. ExpectedError where all cells lie in one place.
        """
        centre_S, radius = _centre_and_radius(places_NS)
        if not radius:
            raise ExpectedError(
                f"all cells of section {section!r} that are left after filtering have the same place: lower the "
                "thresholds of alphastomics.preprocess in params.yaml, or leave this section out of the input"
            )
        dimensions = places_NS.shape[1]
        return cls(dimensions, centre_S.tolist(), float(radius / np.sqrt(dimensions)))

    def scaled(self, places_NS: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Coordinates in the unit of the input, (N, S), as models see them."""
        scaled_NS: npt.NDArray[np.float32] = ((places_NS - np.array(self.centre)) / self.scale).astype(np.float32)
        return scaled_NS

    def restored(self, scaled_NS: npt.NDArray[np.floating]) -> Coordinates:
        """Coordinates as models see them, (N, S), in the unit of the input again."""
        restored_NS: Coordinates = np.asarray(scaled_NS, np.float64) * self.scale + np.array(self.centre)
        return restored_NS

    def described(self) -> dict[str, Any]:
        """What dataset.json keeps of it; `Frame(**described)` is the frame again."""
        return asdict(self)


def _centre_and_radius(places_NS: Coordinates) -> tuple[Coordinates, float]:
    """Mean (S,) and root-mean-square distance from it; 0 where it is below the rounding error of a distant centre."""
    centre_S: Coordinates = places_NS.mean(axis=0)
    radius = float(np.sqrt(((places_NS - centre_S) ** 2).sum(axis=1).mean()))
    return centre_S, radius if radius > 1e-12 * float(np.abs(centre_S).max()) else 0.0
