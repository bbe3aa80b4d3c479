"""The expected response of a context in closed form, from the contexts in which the perturbation was measured.

C: contexts; G: genes. A context is described by its control mean x: log-normalised expression, (G,). The change of a
gene g in it is

    b x_g + m_g + f_g(x) + noise,    f_g ~ GP(0, exp(−|x − x'|² / 4 s²) + ρ x_g x'_g),    noise ~ N(0, τ),

with s the median distance between contexts, and m_g unknown (a flat prior). So similar contexts respond alike; where a
context has no like, the mean response is expected; a gene that falls does so in proportion to what a context expresses
of it (ρ); and what is induced takes its share of the library from all that is expressed (b < 0). b, ρ and τ are those
with the smallest squared error when each context is predicted from the others, over the perturbations (or many).

Sources: Rasmussen and Williams, "Gaussian processes for machine learning" (2006), 2.7 (the flat mean) and 5.4.2
(leaving out in closed form; with a flat mean, Dubrule, 1983).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from pipeline.cfm_vc.metrics.distances import median_distance

Array = npt.NDArray[np.float64]

OWN_EXPRESSION = (0.0, 0.1, 0.3, 1.0, 3.0)  # ρ
NOISE = tuple(10.0 ** (power / 2) for power in range(2, -5, -1))  # τ, strongest first, which wins ties

MOST_PERTURBATIONS = 50  # on which b, ρ and τ are chosen, evenly among all


@dataclass(frozen=True)
class _Contexts:
    """Where one perturbation was measured."""

    codes: list[int]
    control_CG: Array
    change_CG: Array
    similarity_CC: Array

    def solved(self, own: float, noise: float) -> tuple[Array, Array]:
        """Inverse covariance of each gene, (G, C, C), and the same without what the flat mean explains."""
        covariance_GCC = self.similarity_CC + own * np.einsum("cg,dg->gcd", self.control_CG, self.control_CG)
        inverse_GCC = np.linalg.inv(covariance_GCC + noise * np.eye(len(self.control_CG)))
        row_GC = inverse_GCC.sum(axis=2)
        explained_GCC = row_GC[:, :, None] * row_GC[:, None, :] / row_GC.sum(axis=1)[:, None, None]
        return inverse_GCC, inverse_GCC - explained_GCC

    def left_out(self, own: float, noise: float) -> tuple[Array, Array]:
        """Errors of the change and of x, (G, C), where each context is predicted from the others with b = 0."""
        _, centred_GCC = self.solved(own, noise)
        scale_GC = np.einsum("gcc->gc", centred_GCC)
        of_change_GC = np.einsum("gcd,dg->gc", centred_GCC, self.change_CG) / scale_GC
        of_control_GC = np.einsum("gcd,dg->gc", centred_GCC, self.control_CG) / scale_GC
        return of_change_GC, of_control_GC


@dataclass(frozen=True)
class ResponsePrior:
    """Fitted to the changes of every perturbation; `scale`: 2 s."""

    contexts: Mapping[int, _Contexts]  # by perturbation
    scale: float
    fall: float  # b
    own: float  # ρ
    noise: float  # τ

    @classmethod
    def fit(cls, control_CG: Mapping[int, Array], change_CG: Mapping[tuple[int, int], Array]) -> Self:
        """control_CG: control mean (G,) by context; change_CG: change of the mean (G,) by context and perturbation.

        ValueError where there is no change.
        """
        if not change_CG:
            raise ValueError("a prior of the response needs a change")
        scale = 2 * median_distance(np.stack([control_CG[code] for code in sorted({code for code, _ in change_CG})]))
        contexts = {}
        for label in sorted({label for _, label in change_CG}):
            codes = sorted(code for code, other in change_CG if other == label)
            x_CG = np.stack([control_CG[code] for code in codes])
            changes_CG = np.stack([change_CG[code, label] for code in codes])
            contexts[label] = _Contexts(codes, x_CG, changes_CG, _similarity(x_CG, x_CG, scale))
        several = [each for each in contexts.values() if len(each.control_CG) > 1]
        return cls(contexts, scale, *_chosen(several[:: -(-len(several) // MOST_PERTURBATIONS) or 1]))

    def left_out(self) -> dict[tuple[int, int], Array]:
        """The change (G,) expected of each context and perturbation from the other contexts, where there are any."""
        found: dict[tuple[int, int], Array] = {}
        for label, of in self.contexts.items():
            if len(of.codes) > 1:
                of_change_GC, of_control_GC = of.left_out(self.own, self.noise)
                expected_CG = of.change_CG - (of_change_GC - self.fall * of_control_GC).T
                found |= {(code, label): expected_G for code, expected_G in zip(of.codes, expected_CG, strict=True)}
        return found

    def __call__(self, control_G: Array, perturbation: int) -> Array:
        """The expected change (G,) of a context with this control mean; no gene falls below 0. KeyError where the
        perturbation was not measured in any context."""
        of = self.contexts[perturbation]
        inverse_GCC, centred_GCC = of.solved(self.own, self.noise)
        rest_CG = of.change_CG - self.fall * of.control_CG
        row_GC = inverse_GCC.sum(axis=2)
        mean_G = np.einsum("gc,cg->g", row_GC, rest_CG) / row_GC.sum(axis=1)
        likeness_C = _similarity(control_G[None], of.control_CG, self.scale)[0]
        covariance_CG = likeness_C[:, None] + self.own * control_G * of.control_CG
        weighted_GC = np.einsum("gcd,dg->gc", centred_GCC, rest_CG)
        change_G = self.fall * control_G + mean_G + np.einsum("cg,gc->g", covariance_CG, weighted_GC)
        return np.asarray(np.maximum(change_G, -control_G))


def _chosen(several: Sequence[_Contexts]) -> tuple[float, float, float]:
    """b, ρ and τ; where nothing can be left out, the mean change."""
    best = (np.inf, 0.0, 0.0, NOISE[0])
    for own in OWN_EXPRESSION:
        for noise in NOISE if several else ():
            errors = [each.left_out(own, noise) for each in several]
            of_change, of_control = (
                np.concatenate([part.reshape(-1) for part in parts]) for parts in zip(*errors, strict=True)
            )
            square = float(of_control @ of_control)
            fall = float(of_change @ of_control) / square if square > 0 else 0.0  # least squares
            error = float(np.sum((of_change - fall * of_control) ** 2))
            if error < best[0]:
                best = (error, fall, own, noise)
    return best[1:]


def _similarity(x_CG: Array, y_DG: Array, scale: float) -> Array:
    return np.asarray(np.exp(-((cdist(x_CG, y_DG) / scale) ** 2)))
