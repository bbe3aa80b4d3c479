"""The expected response of a context in closed form, from the contexts in which the perturbation was measured.

C: contexts; G: genes. A context is described by its control mean x: log-normalised expression, (G,). The change of a
gene g in it is

    b x_g + m_g + f_g(x) + noise,    f_g ~ GP(0, exp(−|x − x'|² / 4 s²) + ρ x_g x'_g),    noise ~ N(0, τ),

with s the median distance between contexts, and m_g unknown (a flat prior). So similar contexts respond alike; where a
context has no like, the mean response is expected; a gene that falls does so in proportion to what a context expresses
of it (ρ); and what is induced takes its share of the library from all that is expressed (b < 0). b, ρ and τ are those
with the smallest squared error when each context is predicted from the others, over the perturbations (or many).

Perturbations share b, ρ and τ, and what a context does alike under all of them (`ContextResponse`).

The process also says how much of a response it foresees (`reliability`). The variance of its prediction is known up to
a factor, the same for all contexts, which is that of the errors where each context is left out.

Sources: Rasmussen and Williams, "Gaussian processes for machine learning" (2006), 2.7 (the flat mean) and 5.4.2
(leaving out in closed form; with a flat mean, Dubrule, 1983).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from pipeline.cfm_vc.metrics.distances import median_distance
from pipeline.cfm_vc.model.context_response import ContextResponse

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

    def left_out(self, own: float, noise: float) -> tuple[Array, Array, Array]:
        """Errors of the change and of x, (G, C), where each context is predicted from the others with b = 0, and the
        variance of this prediction, (G, C)."""
        _, centred_GCC = self.solved(own, noise)
        variance_GC = 1 / np.einsum("gcc->gc", centred_GCC)
        of_change_GC = np.einsum("gcd,dg->gc", centred_GCC, self.change_CG) * variance_GC
        of_control_GC = np.einsum("gcd,dg->gc", centred_GCC, self.control_CG) * variance_GC
        return of_change_GC, of_control_GC, variance_GC


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

    @cached_property
    def context_response(self) -> ContextResponse:
        """How each context departs from what the others let expect, under all perturbations alike."""
        expected: dict[tuple[int, int], Array] = {}
        change: dict[tuple[int, int], Array] = {}
        for label, of in self.contexts.items():
            if len(of.codes) > 1:
                of_change_GC, of_control_GC, _ = of.left_out(self.own, self.noise)
                expected_CG = of.change_CG - (of_change_GC - self.fall * of_control_GC).T
                pairs = [(code, label) for code in of.codes]
                expected |= dict(zip(pairs, expected_CG, strict=True))
                change |= dict(zip(pairs, of.change_CG, strict=True))
        return ContextResponse.fit(expected, change)

    def left_out(self) -> Mapping[tuple[int, int], Array]:
        """The change (G,) expected of each pair of context and perturbation from the others, where the perturbation
        was measured in other contexts."""
        return self.context_response.left_out

    def left_out_variances(self) -> dict[tuple[int, int], float]:
        """Of the same predictions, as `variance`: by the other contexts, before their own response."""
        found: dict[tuple[int, int], float] = {}
        for label, of in self.contexts.items():
            if len(of.codes) > 1:
                variance_C = of.left_out(self.own, self.noise)[2].mean(axis=0)
                found |= {(code, label): float(value) for code, value in zip(of.codes, variance_C, strict=True)}
        return found

    def variance(self, control_G: Array, perturbation: int) -> float:
        """Of the prediction's error in a new context, mean over genes, up to the factor that all contexts share."""
        of = self.contexts[perturbation]
        inverse_GCC, _ = of.solved(self.own, self.noise)
        covariance_CG, row_GC = self._covariance(control_G, of), inverse_GCC.sum(axis=2)
        known_G = np.einsum("cg,gcd,dg->g", covariance_CG, inverse_GCC, covariance_CG)
        of_mean_G = (1 - np.einsum("gc,cg->g", row_GC, covariance_CG)) ** 2 / row_GC.sum(axis=1)
        return float((1 + self.own * control_G**2 + self.noise - known_G + of_mean_G).mean())

    def __call__(self, control_G: Array, perturbation: int, context: int | None = None) -> Array:
        """The expected change (G,) of a context with this control mean; no gene falls below 0. context: its code, where
        other perturbations were measured in it. KeyError where the perturbation was not measured in any context."""
        of = self.contexts[perturbation]
        inverse_GCC, centred_GCC = of.solved(self.own, self.noise)
        rest_CG = of.change_CG - self.fall * of.control_CG
        row_GC = inverse_GCC.sum(axis=2)
        mean_G = np.einsum("gc,cg->g", row_GC, rest_CG) / row_GC.sum(axis=1)
        covariance_CG = self._covariance(control_G, of)
        weighted_GC = np.einsum("gcd,dg->gc", centred_GCC, rest_CG)
        change_G = self.fall * control_G + mean_G + np.einsum("cg,gc->g", covariance_CG, weighted_GC)
        if context is not None:
            change_G = self.context_response(context, change_G)
        return np.asarray(np.maximum(change_G, -control_G))

    def reliability(self, control_G: Array, perturbation: int, sampling_C: Array, context: int | None = None) -> float:
        """Share (0 to 1) of the variance over genes of a new context's change that is foreseen: the variance of the
        expected change, over itself and the mean variance of its error. This is also about the slope of the expected
        change on the true one. 1 where the perturbation was measured in a single context, or the misses are no larger
        than `sampling_C`: the variance, mean over genes, of each context's error that is by the sampling of cells.
        """
        of = self.contexts[perturbation]
        if len(of.codes) == 1:
            return 1.0
        variance_GC = of.left_out(self.own, self.noise)[2]
        expected = self.context_response.like(context)
        expected_CG = np.stack([expected[code, perturbation] for code in of.codes])
        missed_C = np.mean((of.change_CG - expected_CG) ** 2, axis=1) - sampling_C
        factor = max(float(missed_C.sum() / variance_GC.mean(axis=0).sum()), 0.0)
        foreseen = float(self(control_G, perturbation, context).var())
        missed = factor * self.variance(control_G, perturbation)
        return foreseen / (foreseen + missed) if missed > 0 else 1.0

    def _covariance(self, control_G: Array, of: _Contexts) -> Array:
        """Of f_g in a context with this control mean and in those where the perturbation was measured, (C, G)."""
        likeness_C = _similarity(control_G[None], of.control_CG, self.scale)[0]
        return np.asarray(likeness_C[:, None] + self.own * control_G * of.control_CG)


def _chosen(several: Sequence[_Contexts]) -> tuple[float, float, float]:
    """b, ρ and τ; where nothing can be left out, the mean change."""
    best = (np.inf, 0.0, 0.0, NOISE[0])
    for own in OWN_EXPRESSION:
        for noise in NOISE if several else ():
            errors = [each.left_out(own, noise)[:2] for each in several]
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
