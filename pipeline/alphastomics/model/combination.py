"""The estimate of a place, or of expression, as a convex combination of the network's and of those from measured cells.

The network has seen these and may still use one of them worse than it stands. The weights of least squares are those of
the best combination of the cells that they are from, which is no worse than its best part (a gene's, which are drawn to
those of all genes, may be): stacking (Wolpert, "Stacked generalization",
Neural Networks 5, 1992), with weights that are not negative (Breiman, "Stacked regressions", Machine Learning 24, 1996)
and sum to 1.

N: cells, K: estimates, the network's first, G: genes, S: spatial dimensions.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from pipeline.alphastomics.model.measured_cells import COMBINED
from pipeline.core.errors import ExpectedError

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_OF_ALL = 5.0  # how often the mean product of all genes counts for each of a gene's own
_JITTER = 1e-9  # of the mean squared residual: estimates may be the same


@dataclass(frozen=True)
class Combination:
    """Weights, which are not negative and sum to 1."""

    place_K: Array  # of the network's place, of `measured_cells.PLACES`, and of the frame's origin, a section's middle
    expression_KG: Array  # of the network's expression, then of COMBINED there, for each gene

    @classmethod
    def fit(cls, place_KK: Array, expression_GKK: Array) -> Self:
        """From sums of products of residuals (`residual_products`).

        A gene's weights are those of its own products and `_OF_ALL` times their mean over genes: on few cells, its own
        alone say little.
        """
        mean_KK = expression_GKK.mean(axis=0)
        weights_GK = [simplex_weights(of_gene_KK + _OF_ALL * mean_KK) for of_gene_KK in expression_GKK]
        return cls(simplex_weights(place_KK), np.stack(weights_GK, axis=1))

    @classmethod
    def from_description(cls, described: dict[str, Any]) -> Self:
        """The inverse of `described`. ExpectedError where other estimates were combined."""
        known, found = 1 + len(COMBINED), len(described["expression"])
        if found != known:
            raise ExpectedError(
                f"the model combines {found} estimates of expression, not {known}: another version of this project "
                "trained it; train it again (dvc repro, or the command that trained it)"
            )
        return cls(np.array(described["place"]), np.array(described["expression"]))

    def described(self) -> dict[str, Any]:
        """As plain JSON, for a model's configuration."""
        return {"place": self.place_K.tolist(), "expression": self.expression_KG.tolist()}

    def place(self, network_NS: Floats, near_NKS: Floats) -> Floats:
        """(N, S), of the network's and the other estimates. The origin adds nothing: its weight is by how much the rest
        is drawn to the middle, and without it those would have more weight that lie nearer to it, whatever their order.
        """
        both_NKS = np.concatenate([network_NS[:, None], near_NKS], axis=1)
        combined_NS: Floats = np.einsum("nks,k->ns", both_NKS, self.place_K[:-1]).astype(np.float32)
        return combined_NS

    def expression(self, network_NG: Floats, near_NKG: Floats) -> Floats:
        """(N, G), of the network's and the other estimates."""
        weights_KG = self.expression_KG.astype(np.float32)
        combined_NG: Floats = network_NG * weights_KG[0] + np.einsum("nkg,kg->ng", near_NKG, weights_KG[1:])
        return combined_NG


def residuals(network_NX: Floats, near_NKX: Floats, true_NX: Floats) -> Array:
    """Of the network's and the other estimates, (X, K, N): of each axis or gene."""
    both_NKX = np.concatenate([network_NX[:, None], near_NKX], axis=1).astype(np.float64)
    residual_XKN: Array = (both_NKX - true_NX[:, None]).transpose(2, 1, 0)
    return residual_XKN


def residual_products(residual_XKN: Array) -> Array:
    """Sums over cells of products of the residuals of two estimates, (X, K, K)."""
    products_XKK: Array = residual_XKN @ residual_XKN.transpose(0, 2, 1)
    return products_XKK


def simplex_weights(product_KK: Array) -> Array:
    """The weights w, not negative and of sum 1, with the smallest wᵀ P w, P being products of residuals.

    They are those v ≥ 0 of the smallest vᵀ P v + (Σ v − 1)², over their sum: along v = s w, its smallest value over s
    is f / (1 + f), where f = wᵀ P w. That is a problem of non-negative least squares (Lawson and Hanson, 1974). Equal
    weights where all residuals are 0.
    """
    estimates = len(product_KK)
    size = float(np.trace(product_KK)) / estimates
    if size <= 0:
        return np.full(estimates, 1 / estimates)
    root_KK = np.linalg.cholesky(product_KK / size + _JITTER * np.eye(estimates)).T
    found_K, _ = nnls(np.vstack([root_KK, np.ones(estimates)]), np.append(np.zeros(estimates), 1.0))
    weights_K: Array = found_K / found_K.sum()
    return weights_K
