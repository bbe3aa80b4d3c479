"""Combine each cell's perturbation label and dose into one label, and record the treatments behind it.

From here on a perturbation has one name everywhere: "drug@10", "A+B", "A+B@10", or the control's. A cell's dose
applies to each of its treatments.
"""

import numpy as np
import numpy.typing as npt

from pipeline.core.wording import counted, listed
from pipeline.data.columns import MISSING, UNMATCHED, Codes, Column
from pipeline.data.doses import label_of, treatments_of
from pipeline.data.source import Findings, Source, cell_numbers

LabelDoses = dict[str, dict[str, float]]  # {label: {treatment: dose}}, {} for the control


def settle_labels(source: Source, labels: Column, dose: Column | None, findings: Findings) -> tuple[Column, LabelDoses]:
    """One label per cell and the treatments behind each label; an invalid label or dose is MISSING, and a problem.

    A dose of 0, or the control's label with any dose or none, is the control.
    """
    treatments = _treatments(source, labels, findings)
    treated = np.array([bool(names) for names in treatments] + [False, False])  # negative codes index from the end
    if dose is None:
        value_D, dose_N = np.ones(1), np.zeros(len(labels.codes), np.int32)
    else:
        value_D, dose_N = _values(dose), dose.codes
        _check_doses(source, dose, value_D, treated[labels.codes], findings)
    # Work on the distinct pairs of codes, not on cells; the shift makes the negative codes start at 0.
    shift, width = -UNMATCHED, len(value_D) - UNMATCHED
    pairs = (labels.codes.astype(np.int64) + shift) * width + (dose_N + shift)
    distinct, place_N = np.unique(pairs, return_inverse=True)
    names: list[str | None] = []  # the label of each pair
    doses: LabelDoses = {}
    for pair in distinct.tolist():
        label, amount = pair // width - shift, pair % width - shift
        stands_for = _stands_for(treatments[label] if label >= 0 else None, value_D[amount] if amount >= 0 else np.nan)
        if stands_for is None:
            names.append(None)
            continue
        name = label_of(stands_for, source.combination, source.control, dose is not None)
        names.append(name)
        doses[name] = stands_for
    known = sorted(doses)
    codes = np.array([MISSING if name is None else known.index(name) for name in names], np.int32)
    return Column(codes[place_N].reshape(-1), known, []), {label: doses[label] for label in known}


def _stands_for(treatments: list[str] | None, dose: float) -> dict[str, float] | None:
    """The treatments and doses of a label at a dose; None where either is invalid."""
    if treatments is None:
        return None
    if not treatments or dose == 0:
        return {}
    return dict.fromkeys(treatments, float(dose)) if 0 < dose < np.inf else None


def _treatments(source: Source, labels: Column, findings: Findings) -> list[list[str] | None]:
    """The treatments that each label names; None, and a problem, where it cannot be read as a combination."""
    found: list[list[str] | None] = []
    wrong: list[str] = []
    for label in labels.labels:
        try:
            found.append(treatments_of(label, source.combination, source.control))
        except ValueError as error:
            found.append(None)
            wrong.append(f"{label!r}: {error}")
    if wrong:
        bad = np.array([names is None for names in found] + [False, False])
        findings.problem(
            source.column("perturbation"),
            f"{counted(int(bad[labels.codes].sum()), 'cell')} with a label that is no combination ({listed(wrong, 5)})",
            f"different treatments with {source.combination!r} between them",
            f"correct these labels, or set {source.key('combination')} to what separates the treatments",
        )
    return found


def _values(dose: Column) -> npt.NDArray[np.float64]:
    """Each label of the dose column as a number; NaN where it is not one."""
    values = []
    for label in dose.labels:
        try:
            values.append(float(label))
        except ValueError:
            values.append(np.nan)
    return np.array(values, np.float64)


def _check_doses(
    source: Source,
    dose: Column,
    value_D: npt.NDArray[np.float64],
    treated_N: npt.NDArray[np.bool_],
    findings: Findings,
) -> None:
    """Every treated cell has a dose, a finite number >= 0; each kind of violation is one problem."""
    assert source.dose is not None
    value_N = np.append(value_D, [np.nan, np.nan])[dose.codes]
    column = f"obs column {source.dose.column!r} (dose)"
    for bad_N, what in (
        (dose.codes == MISSING, "without a dose"),
        (dose.codes == UNMATCHED, f"whose dose does not match the pattern {source.dose.pattern!r}"),
        ((dose.codes >= 0) & np.isnan(value_N), "whose dose is not a number"),
        (value_N < 0, "with a negative dose"),
        (np.isposinf(value_N), "with an infinite dose"),
    ):
        cells = np.flatnonzero(bad_N & treated_N)
        if not len(cells):
            continue
        findings.problem(
            column,
            f"{counted(len(cells), 'treated cell')} {what}, such as {_examples(cells, dose.codes, dose.labels)}",
            f"a number from 0 on for every cell whose label is not {source.control!r}",
            f"give these cells their dose, drop them from the file, or set {source.key('dose')} to another column or "
            "pattern",
        )


def _examples(cells: npt.NDArray[np.int64], codes: Codes, labels: list[str]) -> str:
    value = f"{labels[codes[cells[0]]]} in " if codes[cells[0]] >= 0 else ""
    return value + cell_numbers(cells)
