"""The uncertainty of a mean over trainings and test examples, where both are a sample of what might have been drawn.

What example n contributes to the score of training r is one effect of the training, one of the example and one of both
together. With S, the variance over trainings of their means, I, over examples of theirs, and E, of what is left:

    variance of the mean = S/R + I/N − E/(R N)

since S/R and I/N each hold the last effect once. Sources: Cameron, Gelbach and Miller (2011), "Robust inference with
multiway clustering"; for the degrees of freedom, Satterthwaite (1946). A bootstrap that draws trainings and examples
anew has that effect three times (Owen, 2007, "The pigeonhole bootstrap"), and intervals that are too wide.

R: trainings, each of its own seed; N: examples, the same for all of them.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

LEVEL = 0.95

Array = npt.NDArray[np.float64]


class Uncertain(NamedTuple):
    """A mean and the parts of its variance: that of the trainings, which more of them take away, and the examples'."""

    value: float
    of_trainings: float
    of_examples: float
    freedom: float  # degrees of freedom, of Student's distribution

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval around the mean."""
        tail = (1 + LEVEL) / 2
        quantile = ndtri(tail) if math.isinf(self.freedom) else stdtrit(self.freedom, tail)
        return float(quantile) * math.sqrt(self.of_trainings + self.of_examples)


def crossed(*samples_RN: Array) -> Uncertain:
    """The sum of the means of samples of trainings that are independent of each other, of the same examples.

    A single training says nothing about others: the uncertainty is then of the examples alone.
    """
    examples = samples_RN[0].shape[1]
    total_N = sum((of_RN.mean(axis=0) for of_RN in samples_RN), np.zeros(examples))
    of_trainings, of_both, squares = 0.0, 0.0, 0.0
    for of_RN in samples_RN:
        if (trainings := len(of_RN)) < 2 or examples < 2:
            continue
        mean_R1, mean_N = of_RN.mean(axis=1, keepdims=True), of_RN.mean(axis=0)
        own = float(mean_R1.var(ddof=1)) / trainings
        residual_RN = of_RN - mean_R1 - mean_N + mean_N.mean()
        of_both += float((residual_RN**2).sum()) / ((trainings - 1) * (examples - 1)) / of_RN.size
        of_trainings, squares = of_trainings + own, squares + own**2 / (trainings - 1)
    of_examples = max(float(total_N.var(ddof=1)) / examples - of_both, 0.0) if examples > 1 else 0.0
    freedom = (of_trainings + of_examples) ** 2 / squares if squares else math.inf
    return Uncertain(float(total_N.mean()), of_trainings, of_examples, freedom)
