"""Data splits: whole (cell type, perturbation) groups are held out as the test set, which may be empty.

No cell of a held-out group is seen in training, so the test measures generalisation. Axes: N cells, C cell types, P
perturbations; a group is a pair of codes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import suggestion
from pipeline.data.columns import UNKNOWN, says_unknown
from pipeline.data.store import SPLITS

Group = tuple[int, int]  # codes of cell type and perturbation
Mask = npt.NDArray[np.bool_]
Sizes = npt.NDArray[np.int64]

TRAIN, VALIDATION, TEST = range(len(SPLITS))
DROPPED = -1
KEY = "cfm_vc.preprocess"


@dataclass(frozen=True)
class Groups:
    """Which group each cell belongs to."""

    cell_type_N: npt.NDArray[np.integer]  # codes into cell_types
    perturbation_N: npt.NDArray[np.integer]  # codes into perturbations
    cell_types: list[str]
    perturbations: list[str]
    control: str
    doses: Mapping[str, Mapping[str, float]]  # the treatments behind each perturbation

    def sizes(self, kept_N: Mask | slice = slice(None)) -> Sizes:
        """Cells per group, (C, P), among the chosen cells."""
        shape = (len(self.cell_types), len(self.perturbations))
        flat_N = self.cell_type_N[kept_N].astype(np.int64) * shape[1] + self.perturbation_N[kept_N]
        return np.bincount(flat_N, minlength=shape[0] * shape[1]).reshape(shape)

    def among(self, groups: Sequence[Group]) -> Mask:
        """Whether each cell belongs to one of these groups, (N,)."""
        wanted_CP = np.zeros((len(self.cell_types), len(self.perturbations)), bool)
        for group in groups:
            wanted_CP[group] = True
        belongs_N: Mask = wanted_CP[self.cell_type_N, self.perturbation_N]
        return belongs_N

    def labels(self, group: Group) -> dict[str, str]:
        """A group as params.yaml names it."""
        return {"cell_type": self.cell_types[group[0]], "perturbation": self.perturbations[group[1]]}

    def named(self, group: Group) -> str:
        """The name of a group in messages."""
        return f"({self.cell_types[group[0]]}, {self.perturbations[group[1]]})"


def find_held_out(groups: Groups, pairs: Sequence[tuple[str, str | None]]) -> list[Group]:
    """Codes of the (cell type, perturbation) pairs to hold out; ExpectedError lists all that cannot be.

    Without a perturbation a pair stands for all that occur in its cell type. A cell type that is a word for none, such
    as "NA", asks for the cells that ingest calls unknown.
    """
    problems, found = [], []
    sizes_CP = groups.sizes()
    for number, (cell_type, perturbation) in enumerate(_written_out(groups, pairs)):
        where = f"held_out[{number}] = ({cell_type}, {perturbation})"
        if says_unknown(cell_type) and cell_type not in groups.cell_types and UNKNOWN in groups.cell_types:
            cell_type = UNKNOWN
        unknown = [
            f"{where}: no cell has {kind} {label!r}; {suggestion(label, known)}"
            for kind, label, known in (
                ("cell_type", cell_type, groups.cell_types),
                ("perturbation", perturbation, groups.perturbations),
            )
            if label not in known
        ]
        if unknown:
            problems += unknown
            continue
        group = (groups.cell_types.index(cell_type), groups.perturbations.index(perturbation))
        if perturbation == groups.control:
            problems.append(
                f"{where}: {perturbation!r} is the control, from which predictions start; hold out another perturbation"
            )
        elif sizes_CP[group] == 0:
            problems.append(f"{where}: no cell of this type has this perturbation; hold out a pair that occurs")
        elif group in found:
            problems.append(f"{where}: given twice; remove one")
        found.append(group)
    if problems:
        raise ExpectedError(_listed("held_out of the study cannot be used", problems))
    return found


def _written_out(groups: Groups, pairs: Sequence[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    sizes_CP = groups.sizes()
    for cell_type, perturbation in pairs:
        if perturbation is not None:
            yield cell_type, perturbation
        elif cell_type not in groups.cell_types:
            yield cell_type, groups.control  # reported as an unknown cell type
        else:
            sizes_P = sizes_CP[groups.cell_types.index(cell_type)]
            others = [label for label in groups.perturbations if label != groups.control]
            yield from ((cell_type, label) for label in others if sizes_P[groups.perturbations.index(label)])


def check_groups(groups: Groups, kept_N: Mask, held_out: Sequence[Group], min_cells: int) -> None:
    """Check that every group keeps enough cells and that every held-out group can be predicted.

    A prediction needs
    control cells of its cell type, and each of its treatments in some training group, at any dose or in any
    combination. ExpectedError lists all problems.
    """
    before_CP, after_CP = groups.sizes(), groups.sizes(kept_N)
    small = [(int(c), int(p)) for c, p in np.argwhere((before_CP > 0) & (after_CP < min_cells))]
    if small:
        listed = [f"{groups.named(g)}: {after_CP[g]} of {before_CP[g]} cells kept" for g in small]
        raise ExpectedError(
            _listed(f"{len(small)} group(s) have fewer than {min_cells} cells after filtering", listed)
            + "\n"
            + _advice_for_small_groups(before_CP, after_CP, small, min_cells)
        )
    control = groups.perturbations.index(groups.control)
    trained_CP = after_CP.copy()
    for group in held_out:
        trained_CP[group] = 0
    learned = {
        treatment
        for perturbation, cells in zip(groups.perturbations, trained_CP.sum(axis=0), strict=True)
        if cells
        for treatment in groups.doses[perturbation]
    }
    problems, unseen = [], False
    for group in held_out:
        if trained_CP[group[0], control] == 0:
            problems.append(
                f"{groups.named(group)}: its cell type has no {groups.control!r} cells to predict from; hold out a "
                "pair of another cell type"
            )
        unlearned = [
            treatment for treatment in groups.doses[groups.perturbations[group[1]]] if treatment not in learned
        ]
        if unlearned:
            problems.append(f"{groups.named(group)}: no training group contains {' or '.join(map(repr, unlearned))}")
            unseen = True
    if problems:
        advice = "\n" + _advice_for_unseen(groups) if unseen else ""
        raise ExpectedError(_listed("held_out of the study cannot be predicted", problems) + advice)


def assign(
    groups: Groups, kept_N: Mask, held_out: Sequence[Group], validation_share: float, seed: int
) -> npt.NDArray[np.int8]:
    """Split of each cell, (N,): an index into SPLITS, or DROPPED.

    validation_share: fraction of every training group, rounded; at least one cell, never all.
    """
    test_N = groups.among(held_out)
    split_N = np.where(kept_N, np.where(test_N, TEST, TRAIN), DROPPED).astype(np.int8)
    rng = np.random.default_rng(seed)
    training = np.flatnonzero(split_N == TRAIN)
    flat = groups.cell_type_N[training].astype(np.int64) * len(groups.perturbations) + groups.perturbation_N[training]
    order = training[np.argsort(flat, kind="stable")]
    ends = np.cumsum(np.bincount(flat, minlength=1))
    for members in np.split(order, ends[:-1]):
        if len(members) > 1:
            chosen = min(len(members) - 1, max(1, round(validation_share * len(members))))
            split_N[rng.permutation(members)[:chosen]] = VALIDATION
    return split_N


def _advice_for_unseen(groups: Groups) -> str:
    """What may be held out where a treatment would be left in no training group."""
    may = []
    if len(groups.cell_types) > 1:
        may.append("hold out a perturbation in some of its cell types, never in all of them")
    if any(treatments.keys() != {label} for label, treatments in groups.doses.items() if label != groups.control):
        may.append("hold out one of several doses, or a combination of treatments that others train")
    may.append("set held_out of the study to [], which trains on all cells and makes no test set")
    few = f"There is one cell type, {groups.cell_types[0]!r}. " if len(groups.cell_types) == 1 else ""
    return (
        "Perturbations are one-hot here: a treatment is known by its own cells alone, so a whole perturbation cannot "
        f"be predicted. {few}In params.yaml: {'; or '.join(may)}."
    )


def _advice_for_small_groups(before_CP: Sizes, after_CP: Sizes, small: list[Group], min_cells: int) -> str:
    advice = []
    fewest = min(int(after_CP[group]) for group in small)
    if fewest >= 2:
        advice.append(f"lower {KEY}.min_cells_per_group to {fewest}")
    if any(before_CP[group] >= min_cells for group in small):
        advice.append(f"lower {KEY}.min_counts_per_cell or min_genes_per_cell, which removed the others")
    advice.append("remove these cells from the input, or merge their cell types")
    return f"In params.yaml or before it: {'; or '.join(advice)}."


def _listed(title: str, problems: list[str]) -> str:
    return f"{title}:\n" + "\n".join(f"  {problem}" for problem in problems)
