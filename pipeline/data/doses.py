"""Treatments and doses behind each perturbation label, and the dose vector that models condition on.

C: perturbation labels, P: treatments. "A+B" may mean two treatments, "A@10" one of them at a dose of 10; ingest decides
this once and stores it as plain data: {label: {treatment: dose}}, {} for the control.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Doses:
    """The treatments behind each label of the training data."""

    of_label: Mapping[str, Mapping[str, float]]

    @cached_property
    def treatments(self) -> list[str]:
        """All treatments, sorted: the axis P of dose vectors."""
        return sorted({treatment for doses in self.of_label.values() for treatment in doses})

    def range_of(self, treatment: str) -> tuple[float, float]:
        """Smallest and largest dose of a treatment in the training data; KeyError for one that is not in it."""
        found = [doses[treatment] for doses in self.of_label.values() if treatment in doses]
        if not found:
            raise KeyError(treatment)
        return min(found), max(found)

    def vector(self, doses: Mapping[str, float]) -> Vector:
        """The vector (P,) of these treatments: zero where there is none, 1 at a treatment's largest dose in training.

        Between, log(1 + dose / smallest) / log(1 + largest / smallest), since doses come in ratios: it does not depend
        on the unit, is 0 at no dose, and goes on past the largest. KeyError for a treatment that training never saw.
        """
        p_P = np.zeros(len(self.treatments), np.float32)
        for treatment, dose in doses.items():
            smallest, largest = self.range_of(treatment)
            p_P[self.treatments.index(treatment)] = math.log1p(dose / smallest) / math.log1p(largest / smallest)
        return p_P

    def matrix(self, labels: Sequence[str]) -> Vector:
        """The vector of every label, (C, P)."""
        rows = [self.vector(self.of_label[label]) for label in labels]
        return np.stack(rows) if rows else np.zeros((0, len(self.treatments)), np.float32)


def treatments_of(label: str, separator: str | None, control: str) -> list[str]:
    """The treatments that a label names, sorted: "B+A" and "A+B" are the same two, "A+<control>" is A, control is none.

    separator: between the treatments of a combination; None: a label is one treatment. ValueError where a part is empty
    or a treatment is named twice.
    """
    if label == control:
        return []
    if separator is None:
        return [label]
    parts = [part.strip() for part in label.split(separator)]
    if "" in parts:
        raise ValueError("a part of it is empty")
    treatments = sorted(part for part in parts if part != control)
    if len(set(treatments)) < len(treatments):
        raise ValueError("it names a treatment twice")
    return treatments


def label_of(doses: Mapping[str, float], separator: str | None, control: str, with_dose: bool) -> str:
    """The label of treatments at one common dose: "A+B", or "A+B@10" with its dose; the control's where there is none.

    A dose is written as short as it can be without losing digits.
    """
    if not doses:
        return control
    label = (separator or "").join(sorted(doses))
    (dose,) = set(doses.values())
    return f"{label}@{repr(dose).removesuffix('.0')}" if with_dose else label


def one_treatment_each(labels: Sequence[str], control: str) -> dict[str, dict[str, float]]:
    """Each label but the control is a treatment of its own, at dose 1."""
    return {label: {} if label == control else {label: 1.0} for label in labels}
