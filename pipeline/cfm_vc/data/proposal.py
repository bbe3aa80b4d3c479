"""A study of perturbed cells drafted from their files: which column is what, the control, what can be held out.

T: cell types, P: perturbations.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from pipeline.cfm_vc.params.ingest import Ingest, PerturbationColumns
from pipeline.cfm_vc.params.study import EACH
from pipeline.cfm_vc.params.system import CfmVc
from pipeline.core.errors import ExpectedError
from pipeline.core.wording import close_to, counted, listed
from pipeline.data.cell_files import CellFiles, are_cells, look_into, shown_labels
from pipeline.data.cells_draft import decide_counts, decide_filters, decide_path
from pipeline.data.column_guess import (
    BATCH,
    SECTION,
    Scores,
    candidates,
    controls_of,
    decide_cell_type,
    given_column,
    is_word_for_control,
    ranked,
    score,
)
from pipeline.data.columns import UNKNOWN, Column
from pipeline.data.confounding import Table, contingency, cramers_v, fully_confounded, suggest_pattern
from pipeline.data.source import Findings, Source
from pipeline.data.treatment_labels import settle_labels
from pipeline.params.draft import Draft
from pipeline.params.fold_names import fold_names
from pipeline.params.obs_column import ObsColumn
from pipeline.params.reading import validated
from pipeline.params.section import MOST_POINTS

USUAL_GENES = 2_000  # highly variable ones
PERTURBATION: Scores = (
    (r"perturb|treatment|\bstim|condition|compound|\bdrug|guide|sgrna|grna|cytokine|exposure|agent|intervention", 2),
    (r"group|label|status|gene|product|target", 1),
)
_WHOLE = 4  # what a label that is a word for control adds to a name's score, and one that only holds such a word:
_PART = 2
_DOSE = re.compile(r"dose|dosage|conc(entration)?", re.IGNORECASE)
SEPARATORS = ("+", "|", "&")


def recognise(paths: tuple[Path, ...], given: Mapping[str, Any]) -> str | None:
    """Why these are perturbed cells; None where they are not."""
    said = next((key for key in ("ingest.control", "ingest.columns") if any(k.startswith(key) for k in given)), None)
    if not are_cells(paths):
        return None
    if said is not None:
        return f"{said} is given"
    cells = look_into(paths)
    best = _best(_perturbations(cells))
    if not best:
        return None
    placed = "spatial" in cells.arrays
    also = "; they have positions too: --system alphastomics asks of these" if placed else ""
    return f"{best[0]} has the label {controls_of(cells.labels[best[0]].labels)[0]}{also}"


def propose(paths: tuple[Path, ...], draft: Draft, shared: CfmVc) -> None:
    """Draft all that a study needs and that its data decide."""
    cells = look_into(paths)
    draft.data = cells.described
    decide_path(draft, paths, _allows({"path": ["a", "b"]}))
    decide_counts(draft, cells)
    perturbation = _decide_perturbation(draft, cells)
    taken = _names_taken(draft)
    cell_type = decide_cell_type(draft, cells, "ingest.columns.cell_type", taken, needed=True)
    control = None if perturbation is None else _decide_control(draft, perturbation)
    if perturbation is not None and control is not None:
        _decide_batch(draft, cells, perturbation, _names_taken(draft))
        _decide_dose(draft, cells, perturbation, control)
        _decide_combination(draft, perturbation, control)
        if cell_type is not None:
            _decide_groups(draft, cell_type, _settled(draft, cells, perturbation, control), control, shared)
    decide_filters(draft, cells, shared.preprocess)
    genes = min(USUAL_GENES, cells.genes)
    why = "as usual for real cells" if genes == USUAL_GENES else "all genes of the file"
    draft.decide("preprocess.highly_variable_genes", genes, why)


def _perturbations(cells: CellFiles) -> dict[str, int]:
    """Score of every column with a label that reads like a control, but of sections and cell types."""
    found = {}
    for name, column in cells.labels.items():
        controls = controls_of(column.labels)
        whole = bool(controls) and is_word_for_control(controls[0])
        if controls and (whole or not score(name, SECTION) or score(name, PERTURBATION)):
            found[name] = (_WHOLE if whole else _PART) + score(name, PERTURBATION)
    return found


def _best(points: Mapping[str, int]) -> list[str]:
    return [name for name, value in points.items() if value == max(points.values())]


def _decide_perturbation(draft: Draft, cells: CellFiles) -> Column | None:
    key = "ingest.columns.perturbation"
    if key in draft.given:
        return given_column(draft, cells, key)
    points = _perturbations(cells)
    control = draft.given.get("ingest.control")
    if control is not None:
        points = {name: score(name, PERTURBATION) for name, c in cells.labels.items() if str(control) in c.labels}
        if not points:
            known = sorted({label for column in cells.labels.values() for label in column.labels})
            raise ExpectedError(f"ingest.control = {control}: no column has this label{close_to(str(control), known)}")
    best = _best(points)
    if len(best) > 1 and all(_same_cells(cells.labels[best[0]], cells.labels[name]) for name in best[1:]):
        best = best[:1]  # one column by several names
    if len(best) == 1:
        column = cells.labels[best[0]]
        draft.decide(key, best[0], f"{shown_labels(column)}")
        return column
    problem = "several columns have a label like a control" if best else "no column has a label like ctrl, DMSO or PBS"
    draft.ask(key, problem, candidates(cells, best or list(cells.labels)))
    return None


def _same_cells(one: Column, other: Column) -> bool:
    """Whether two columns group the cells alike."""
    table = contingency(one.codes, other.codes, (len(one.labels), len(other.labels)))
    return len(one.labels) == len(other.labels) and int((table > 0).sum()) == len(one.labels)


def _names_taken(draft: Draft) -> set[str]:
    """Columns that are something already."""
    values = [d.value for d in draft.decisions if d.key.startswith("ingest.columns.") and d.value is not None]
    return {ObsColumn.model_validate(value).column for value in values}


def _decide_control(draft: Draft, perturbation: Column) -> str | None:
    key = "ingest.control"
    if key in draft.given:
        given = str(draft.decide(key, None, ""))
        if given not in perturbation.labels:
            found = f"{listed(perturbation.labels, 20)}{close_to(given, perturbation.labels)}"
            raise ExpectedError(f"{key} = {given}: no cell has this label; there are {found}")
        return given
    controls = controls_of(perturbation.labels)
    if len(controls) == 1:
        return str(draft.decide(key, controls[0], "the one label that reads like a control"))
    problem = "several labels read like a control" if controls else "no label reads like a control"
    draft.ask(key, problem, dict.fromkeys(controls or perturbation.labels[:20], ""))
    return None


def _decide_batch(draft: Draft, cells: CellFiles, perturbation: Column, taken: set[str]) -> None:
    """The best column whose batches hold several perturbations each, or the part of its labels that makes such."""
    key = "ingest.columns.batch"
    if key in draft.given:
        given_column(draft, cells, key)
        return
    names = ranked(cells, BATCH, taken, fewest=1)
    usable: list[tuple[float, float, Any, str]] = []
    for name, points in names.items():
        column = cells.labels[name]
        table = _table(column, perturbation)
        if not fully_confounded(table):
            why = f"{shown_labels(column)}" + ("" if len(column.labels) == 1 else ", crossed with the perturbation")
            usable.append((-points, cramers_v(table), name, why))
        elif (part := suggest_pattern(column.labels, table)) is not None:
            why = f"this part of it is crossed with the perturbation: {listed(part.labels, 5)}"
            usable.append((0.5 - points, 0.0, {"column": name, "pattern": part.pattern}, why))
    confounded = f" ({listed(names)} has one perturbation per label)" if names else ""
    if usable:
        *_, value, why = min(usable, key=lambda one: one[:2])
        draft.decide(key, value, why)
    elif _allows({"columns": {"batch": None}}):
        draft.decide(key, None, f"no column reads like a batch that is crossed with the perturbation{confounded}")
    else:
        others = [name for name in cells.labels if name not in taken]
        crossed = [name for name in others if not fully_confounded(_table(cells.labels[name], perturbation))]
        if not crossed:
            draft.ask(key, f"no column is crossed with the perturbation{confounded}", candidates(cells, others))
            return
        least = min(crossed, key=lambda name: cramers_v(_table(cells.labels[name], perturbation)))
        why = "no column reads like a batch; this one is the least bound to the perturbation: is it technical?"
        draft.decide(key, least, why)


def _table(column: Column, perturbation: Column) -> Table:
    return contingency(column.codes, perturbation.codes, (len(column.labels), len(perturbation.labels)))


def _decide_dose(draft: Draft, cells: CellFiles, perturbation: Column, control: str) -> None:
    """A column of numbers called so, above 0 in every treated cell and of several values."""
    treated = np.array([label != control for label in perturbation.labels] + [False, False])[perturbation.codes]
    for name in cells.numbers if control in perturbation.labels else ():
        if _DOSE.search(name) and "ingest.dose" not in draft.given:
            doses = cells.of_numbers(name)[treated]
            if len(doses) and (doses > 0).all() and len(np.unique(doses)) > 1:
                draft.decide(
                    "ingest.dose", name, f"{len(np.unique(doses))} doses from {doses.min():g} to {doses.max():g}"
                )
                return
            draft.notes.append(f"{name} is not taken for the dose: it has not several numbers above 0 in treated cells")


def _decide_combination(draft: Draft, perturbation: Column, control: str) -> None:
    """What joins labels that occur alone or beside others."""
    if "ingest.combination" in draft.given:
        return
    for separator in SEPARATORS:
        joined = [label for label in perturbation.labels if separator in label.strip(separator) and label != control]
        parts = [[part.strip() for part in label.split(separator)] for label in joined]
        known = {*perturbation.labels, *(part for both in parts if control in both for part in both)}
        if parts and all(part in known for both in parts for part in both):
            draft.decide("ingest.combination", separator, f"joins treatments, as in {joined[0]}")
            return


def _settled(draft: Draft, cells: CellFiles, perturbation: Column, control: str) -> Column:
    """The perturbations as ingest names them, with their doses and combinations in one order; as they are where ingest
    will refuse them."""
    settings = {one.key: one.value for one in draft.decisions} | draft.given
    given, combination = settings.get("ingest.dose"), settings.get("ingest.combination")
    dose = None if given is None else validated(ObsColumn, given, f"ingest.dose = {given}")
    columns = {"perturbation": ObsColumn(column="perturbation")}
    source = Source(Path(), "cfm_vc.ingest", "auto", columns, control, dose, combination)
    findings = Findings()
    settled, _ = settle_labels(source, perturbation, None if dose is None else cells.column(dose, "dose"), findings)
    return perturbation if findings.problems else settled


def _decide_groups(draft: Draft, cell_type: Column, perturbation: Column, control: str, shared: CfmVc) -> None:
    """What is held out, and the smallest group that the data have."""
    if control not in perturbation.labels:
        return
    table_TP = contingency(cell_type.codes, perturbation.codes, (len(cell_type.labels), len(perturbation.labels)))
    least = shared.preprocess.min_cells_per_group
    smallest = int(table_TP[table_TP > 0].min(initial=least))
    if smallest < least:
        least = max(2, smallest)
        where = np.argwhere(table_TP == smallest)[0]
        named = f"{cell_type.labels[where[0]]} / {perturbation.labels[where[1]]}"
        draft.decide("preprocess.min_cells_per_group", least, f"{named} has {counted(smallest, 'cell')}")
    if smallest == 1:
        draft.notes.append("ingest refuses groups of one cell: drop these cells from the file or merge rare labels")
    if "held_out" in draft.given:
        _refuse_unknown_groups(draft.given["held_out"], cell_type, perturbation)
        return
    place = perturbation.labels.index(control)
    control_T = table_TP[:, place]
    treated_TP = np.delete(table_TP, place, axis=1)
    elsewhere_TP = treated_TP.sum(axis=0) - treated_TP  # cells of the same perturbation in other types
    known = [label != UNKNOWN for label in cell_type.labels]
    learned_T = ((treated_TP == 0) | (elsewhere_TP > 0)).all(axis=1)
    able_T = (control_T >= least) & (treated_TP.sum(axis=1) >= least) & learned_T & known
    able = [label for label, yes in zip(cell_type.labels, able_T, strict=True) if yes]
    unable = [label for label in cell_type.labels if label not in able and label != UNKNOWN]
    if len(able) >= 2 and not unable:
        draft.decide("held_out", EACH, f"{counted(len(able), 'type')}, all under {control} and a treatment")
    elif 2 <= len(able) <= MOST_POINTS:
        names = fold_names(able)
        folds = {names[label]: _pairs(label, cell_type, perturbation, control, table_TP) for label in able}
        why = f"each cell type in turn, but {listed(unable, 5)}: no control, no treatment, or a treatment of its own"
        draft.decide("held_out", folds, why)
    else:
        draft.decide("held_out", [], "no two cell types are under control and a treatment: nothing is evaluated")


def _refuse_unknown_groups(held_out: Any, cell_type: Column, perturbation: Column) -> None:
    """ExpectedError where a label that is to be held out is not in the data."""
    folds = held_out.values() if isinstance(held_out, Mapping) else [held_out]
    for pair in (pair for fold in folds if isinstance(fold, list) for pair in fold if isinstance(pair, Mapping)):
        for name, column in (("cell_type", cell_type), ("perturbation", perturbation)):
            label = pair.get(name)
            if label is not None and str(label) not in column.labels:
                found = f"{listed(column.labels, 20)}{close_to(str(label), column.labels)}"
                raise ExpectedError(f"held_out: no cell has {name} {label}; there are {found}")


def _pairs(
    label: str, cell_type: Column, perturbation: Column, control: str, table_TP: Table
) -> Sequence[Mapping[str, str]]:
    sizes = zip(perturbation.labels, table_TP[cell_type.labels.index(label)], strict=True)
    return [{"cell_type": label, "perturbation": name} for name, cells in sizes if cells and name != control]


def _allows(changes: Mapping[str, Any]) -> bool:
    """Whether params.yaml takes such a value in `ingest`."""
    given = {"path": "a", **changes}
    try:
        Ingest.model_validate(given)
        PerturbationColumns.model_validate(given.get("columns", {}))
    except ValidationError:
        return False
    return True
