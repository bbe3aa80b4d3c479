"""How a context departs from the others under every perturbation alike, learned from those that were measured in it.

P: perturbations measured in a context; G: genes. Of a perturbation's change of a gene, the other contexts let e be
expected, and t was measured. In one context, over all its perturbations, this is taken to be

    t = e + a + c e + noise

with a shift a and a responsiveness c of the gene in this context. The shift is what all treated cells there have in
common. All changes of a context are measured against the same controls; where these are few, much of the shift is their
noise (`controls_noise`), so that the treated mean is known better than the effect. c is -1 where a gene cannot respond,
as in closed chromatin. Both are found by ridge regression, gene by gene, with the penalties κ a² and λ c². κ and λ are
those of least squared error where each pair of context and perturbation is predicted from the others. With one
perturbation, nothing is learned and e stands.

Source of the penalised regression: Hoerl and Kennard (1970).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Pair = tuple[int, int]  # codes of context and perturbation

# Strongest first, which wins ties.
SHIFT_PENALTIES = (np.inf, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3)  # κ, in perturbations
RESPONSE_PENALTIES = (np.inf, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)  # λ, in squared change


class _Sums(NamedTuple):
    """Over perturbations, for each gene: of 1, e, e², r = t − e, and r e."""

    ones: Array
    e: Array
    e2: Array
    r: Array
    re: Array

    @classmethod
    def of(cls, e_PG: Array, r_PG: Array) -> Self:
        """(G,) each."""
        return cls(*(part_PG.sum(axis=0) for part_PG in _terms(e_PG, r_PG)))

    @classmethod
    def of_others(cls, e_PG: Array, r_PG: Array) -> Self:
        """(P, G) each: over all perturbations but this one."""
        return cls(*(part_PG.sum(axis=0) - part_PG for part_PG in _terms(e_PG, r_PG)))

    def solved(self, shift_penalty: float, response_penalty: float) -> tuple[Array, Array]:
        """a and c of least penalised squares."""
        ones, e2 = self.ones + shift_penalty, self.e2 + response_penalty
        if np.isinf(shift_penalty) or np.isinf(response_penalty):
            return self.r / ones, self.re / e2
        determinant = ones * e2 - self.e**2
        return (self.r * e2 - self.re * self.e) / determinant, (self.re * ones - self.r * self.e) / determinant


@dataclass(frozen=True)
class ContextResponse:
    shift_penalty: float
    response_penalty: float
    found: Mapping[int, tuple[Array, Array]]  # a and c, (G,) each, by context
    perturbations: Mapping[int, int]  # how many, by context
    shift_variance: Mapping[int, float]  # of the measured shift, mean over genes, without the sampling of perturbations
    expected: Mapping[Pair, Array]  # the change (G,) of each pair by the other contexts
    left_out: Mapping[Pair, Array]  # by all other pairs, those of its context too

    @classmethod
    def fit(cls, expected: Mapping[Pair, Array], change: Mapping[Pair, Array]) -> Self:
        """expected: the change (G,) of each pair by the other contexts; change: the measured one of the same pairs."""
        measured = {}
        for context in sorted({context for context, _ in expected}):
            pairs = sorted(pair for pair in expected if pair[0] == context)
            e_PG = np.stack([expected[pair] for pair in pairs])
            measured[context] = pairs, e_PG, np.stack([change[pair] for pair in pairs]) - e_PG
        penalties = _chosen([(e_PG, r_PG) for _, e_PG, r_PG in measured.values()])
        found, left_out = {}, dict[Pair, Array]()
        for context, (pairs, e_PG, r_PG) in measured.items():
            found[context] = _Sums.of(e_PG, r_PG).solved(*penalties)
            a_PG, c_PG = _Sums.of_others(e_PG, r_PG).solved(*penalties)
            left_out |= dict(zip(pairs, e_PG + a_PG + c_PG * e_PG, strict=True))
        perturbations = {context: len(pairs) for context, (pairs, _, _) in measured.items()}
        shift_variance = {context: _shift_variance(r_PG) for context, (_, _, r_PG) in measured.items()}
        return cls(*penalties, found, perturbations, shift_variance, expected, left_out)

    def __call__(self, context: int, expected_G: Array) -> Array:
        """The change (G,) expected in this context, where the others let `expected_G` be expected."""
        if context not in self.found:
            return expected_G
        a_G, c_G = self.found[context]
        return np.asarray(expected_G + a_G + c_G * expected_G)

    def like(self, context: int | None) -> Mapping[Pair, Array]:
        """What is expected of each pair as it is of this context: its own response known or, where nothing was measured
        in it, not."""
        return self.left_out if context in self.found else self.expected

    def sampling_noise(self, pair: Pair, noise: Mapping[Pair, Array], control: int, like: int | None) -> Array:
        """Variance (G,) of the error of a pair's change, expected as in the context `like`, that is by the sampling of
        cells: that of its treated mean, and what is left of the controls', which all changes of a context hold alike,
        so that the shift tells it. noise: the variance of each group's mean; control: the code of the controls."""
        untold = self.untold(pair) if like in self.found else 1.0
        return np.asarray(noise[pair] + untold * noise[pair[0], control])

    def controls_noise(self, context: int, variance_G: Array) -> Array:
        """The part (G,) of a context's shift that is noise of its controls' mean, as expected from the variance of that
        mean: the share of the shift's variance that this is, of all genes together."""
        if context not in self.found:
            return np.zeros_like(variance_G)
        noise = float(variance_G.mean())
        share = noise / max(self.shift_variance[context], noise) if noise > 0 else 0.0
        return share * self.found[context][0]

    def untold(self, pair: Pair) -> float:
        """Share of the noise of the controls' mean that the shift of a context does not tell."""
        others = self.perturbations.get(pair[0], 0) - (pair in self.left_out)
        return 1 / (1 + others / self.shift_penalty)


def _shift_variance(r_PG: Array) -> float:
    """Mean over genes of the squared mean of the residuals, less what their spread over perturbations adds to it."""
    mean_G = r_PG.mean(axis=0)
    sampling = float(r_PG.var(axis=0, ddof=1).mean()) / len(r_PG) if len(r_PG) > 1 else 0.0
    return float((mean_G**2).mean()) - sampling


def _terms(e_PG: Array, r_PG: Array) -> tuple[Array, ...]:
    return np.ones_like(e_PG), e_PG, e_PG**2, r_PG, r_PG * e_PG


def _chosen(measured: list[tuple[Array, Array]]) -> tuple[float, float]:
    """κ and λ; none is learned where each context has one perturbation."""
    others = [(e_PG, r_PG, _Sums.of_others(e_PG, r_PG)) for e_PG, r_PG in measured if len(e_PG) > 1]
    best, least = (np.inf, np.inf), np.inf
    for shift_penalty in SHIFT_PENALTIES:
        for response_penalty in RESPONSE_PENALTIES:
            error = 0.0
            for e_PG, r_PG, sums in others:
                a_PG, c_PG = sums.solved(shift_penalty, response_penalty)
                error += float(np.sum((r_PG - a_PG - c_PG * e_PG) ** 2))
            if error < least:
                best, least = (shift_penalty, response_penalty), error
    return best
