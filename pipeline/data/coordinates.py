"""The frame in which models see spatial coordinates: centred, and divided by one scale for all axes.

One scale, since a scale per axis would bend the tissue. Axes: N cells, S dimensions (2 or 3).
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pipeline.errors import ExpectedError

Coordinates = npt.NDArray[np.float64]
DIMENSIONS = (2, 3)


@dataclass(frozen=True)
class Frame:
    """Centre and scale, in the unit of the input."""

    dimensions: int
    centre: list[float]  # mean position of the training cells, (S,)
    scale: float  # root-mean-square distance of the training cells from it

    @classmethod
    def of(cls, training_NS: Coordinates) -> Self:
        """The frame in which these cells have mean 0 and a root-mean-square radius of 1.

        ExpectedError where all of them lie in one place.
        """
        centre_S = training_NS.mean(axis=0)
        scale = float(np.sqrt(((training_NS - centre_S) ** 2).sum(axis=1).mean()))
        # Rounding may leave a hair of a radius around a far centre.
        if scale <= 1e-12 * float(np.abs(centre_S).max()):
            raise ExpectedError(
                "all training cells have the same spatial coordinates: point ingest.perturbation.spatial at the "
                "positions of the cells, or leave it null"
            )
        return cls(training_NS.shape[1], centre_S.tolist(), scale)

    def scaled(self, places_NS: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Coordinates in the unit of the input, (N, S), as models see them."""
        scaled_NS: npt.NDArray[np.float32] = ((places_NS - np.array(self.centre)) / self.scale).astype(np.float32)
        return scaled_NS

    def described(self) -> dict[str, Any]:
        """What dataset.json keeps of it; `Frame(**described)` is the frame again."""
        return asdict(self)
