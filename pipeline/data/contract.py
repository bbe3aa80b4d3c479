"""What an input AnnData must contain, declared as data, and the checker that compares a file with it.

A new kind of data set is one more entry of CONTRACTS: its slots, and rules over them. Every problem of a file is
reported at once; only an unreadable file stops the check early.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.core.wording import close_to, counted, listed
from pipeline.data import covariate_rules as rules
from pipeline.data.columns import MISSING, MISSING_TEXTS, UNKNOWN, UNMATCHED, Column, missing_but, without_missing
from pipeline.data.coordinates import Coordinates
from pipeline.data.count_checks import CountCheck, find_counts, rows_per_block
from pipeline.data.csr import CountMatrix
from pipeline.data.gene_places import GenePlaces
from pipeline.data.h5ad import AnnDataFile, open_anndata
from pipeline.data.positions import one_place_each, read_positions
from pipeline.data.source import Findings, Source, refuse_unshowable
from pipeline.data.standard_h5ad import standard_h5ad_file
from pipeline.data.structure import check_gene_names, check_structure
from pipeline.data.treatment_labels import LabelDoses, settle_labels
from pipeline.params.obs_column import ObsColumn

Place = Literal["counts", "obs", "obsm"]
Rule = Callable[[Source, Mapping[str, Column], Findings], None]
PlaceRule = Callable[[Source, Coordinates, Mapping[str, Column], Findings], None]


@dataclass(frozen=True)
class Slot:
    """One item that a file must contain."""

    name: str  # its key in params.yaml (under columns for obs, unless it is optional)
    place: Place
    type: str
    meaning: str
    optional: bool = False  # if so, params.yaml may leave it null


@dataclass(frozen=True)
class Contract:
    """Everything that a kind of data set must contain."""

    slots: tuple[Slot, ...]
    rules: tuple[tuple[Rule, tuple[str, ...]], ...] = ()  # each with the obs slots it needs
    place_rules: tuple[PlaceRule, ...] = ()  # over the cells' coordinates too


CONTRACTS = {
    "perturbation": Contract(
        slots=(
            Slot("counts", "counts", "whole numbers", "raw counts of molecules, cells x genes"),
            Slot("perturbation", "obs", "label", "the treatment of the cell; one label is the control"),
            Slot("cell_type", "obs", "label", "the context that an effect is measured in"),
            Slot("batch", "obs", "label", "donor, plate or run: the technical origin of the cell"),
            Slot("dose", "obs", "number", "dose of the treatment", optional=True),
            Slot("spatial", "obsm", "number", "position of the cell, 2 or 3 coordinates", optional=True),
        ),
        rules=(
            (rules.control_occurs, ("perturbation",)),
            (rules.groups_have_cells, ("perturbation", "cell_type")),
            (rules.batch_is_not_perturbation, ("perturbation", "batch")),
        ),
    ),
    "spatial": Contract(
        slots=(
            Slot("counts", "counts", "whole numbers", "raw counts of molecules, cells x genes"),
            Slot("section", "obs", "label", "the piece of tissue that the cell lies in", optional=True),
            Slot("cell_type", "obs", "label", "the type of the cell", optional=True),
            Slot("spatial", "obsm", "number", "position of the cell, 2 or 3 coordinates"),
        ),
        place_rules=(one_place_each,),
    ),
}


@dataclass(frozen=True)
class Accepted:
    """A file that meets its contract."""

    cells: int
    genes: int
    columns: dict[str, Column]
    notes: list[str]
    doses: LabelDoses | None = None  # where the source has doses or combinations
    combination: str | None = None  # what separates treatments in a label

    @property
    def size(self) -> str:
        """For people."""
        return f"{self.cells:,} cells x {self.genes:,} genes"


def accept(contract: Contract, source: Source, target: Path, genes_by_name: bool = False) -> Accepted:
    """Check the file and write its standard copy to `target`, in one streamed pass.

    genes_by_name: in the copy, which is to be one of several, genes stand in the order of their names, not the file's.
    Raises ExpectedError with all problems of the file; `target` is then incomplete. Memory: a block of cells, and
    about 60 bytes per cell for covariates and the search for repeated names.
    """
    findings = Findings()
    with open_anndata(source.path) as file:
        columns, doses = _read_columns(contract, source, file, findings)
        for rule, needed in contract.rules:
            if set(needed) <= set(columns):
                rule(source, columns, findings)
        counts = find_counts(source, file, findings)
        structure = check_structure(file, counts, source.key("counts"), findings)
        if counts is None:
            check_gene_names(file.names("var"), "var", findings)
        else:
            source = replace(source, counts=counts)
        for name, label in source.constant.items():
            columns[name] = Column(np.zeros(structure.cells, np.int32), [label], [])
        optional = all(slot.optional for slot in contract.slots if slot.place == "obsm")
        spatial = read_positions(source, file, structure.cells, findings, optional)
        for place_rule in contract.place_rules:
            if spatial is not None:
                place_rule(source, spatial, columns, findings)
        if structure.matrix is not None:
            copied = columns, doses, spatial
            written = sorted(structure.genes) if genes_by_name else structure.genes
            _copy_counts(source, file, structure.matrix, (structure.genes, written), copied, target, findings)
    findings.raise_problems(source.path)
    return Accepted(structure.cells, len(structure.genes), columns, findings.notes, doses, source.combination)


def _read_columns(
    contract: Contract, source: Source, file: AnnDataFile, findings: Findings
) -> tuple[dict[str, Column], LabelDoses | None]:
    """The covariates that could be read; a cell without a label is a problem, and the other cells are still checked.

    With doses or combinations, the perturbation labels include both, and the second result maps each label to its
    treatments and doses.
    """
    columns: dict[str, Column] = {}
    for slot in contract.slots:
        if slot.place != "obs" or slot.name not in source.columns:
            continue
        wanted = source.columns[slot.name]
        key = source.key(slot.name if slot.optional else f"columns.{slot.name}")
        column = _read_column(source, file, slot, wanted, key, findings)
        if column is None:
            continue
        if slot.name == "cell_type":
            column, unknown, texts = without_missing(column)
            if unknown:
                said = f" ({listed(map(repr, texts))})" if texts else ""
                findings.notes.append(f"{counted(unknown, 'cell')} without a cell type{said}: theirs is {UNKNOWN!r}")
        columns[slot.name] = column
        refuse_unshowable(column.labels, source.column(slot.name), findings)
        unmatched, missing = (int((column.codes == code).sum()) for code in (UNMATCHED, MISSING))
        if unmatched:
            findings.problem(
                source.column(slot.name),
                f"{counted(unmatched, 'cell')} whose value does not match the pattern {wanted.pattern!r}, "
                f"such as {listed(map(repr, column.unmatched))}",
                "a match in every cell",
                f"widen the pattern in {key}",
            )
        if missing:
            findings.problem(
                source.column(slot.name),
                f"{counted(missing, 'cell')} with a missing value{column.missing_texts()}",
                "a label for every cell",
                "label these cells or drop them from the file",
            )
    if source.dose is None and source.combination is None:
        return columns, None
    (slot,) = (slot for slot in contract.slots if slot.name == "dose")
    dose = None
    if source.dose is not None:
        dose = _read_column(source, file, slot, source.dose, source.key("dose"), findings)
    labels = columns.pop("perturbation", None)
    if labels is None or (source.dose is not None and dose is None):
        return columns, None  # already reported; labels without their doses would mislead the rules
    settled, doses = settle_labels(source, labels, dose, findings)
    return {"perturbation": settled, **columns}, doses


def _read_column(
    source: Source, file: AnnDataFile, slot: Slot, wanted: ObsColumn, key: str, findings: Findings
) -> Column | None:
    """The obs column of a slot, or None, and a problem, where the file has no such column."""
    found = file.obs_columns()
    if wanted.column in (*found, file.obs_index):
        missing = missing_but(source.control) if slot.name == "perturbation" else MISSING_TEXTS
        return file.column(wanted.column, wanted.pattern, missing)
    findings.problem(
        f"obs column {wanted.column!r} ({slot.name})",
        f"no such column; there are {listed(found, 20)}",
        slot.meaning,
        f"set {key} to the column that holds it{close_to(wanted.column, found)}",
    )
    return None


def _copy_counts(
    source: Source,
    file: AnnDataFile,
    matrix: CountMatrix,
    genes: tuple[list[str], list[str]],
    copied: tuple[dict[str, Column], LabelDoses | None, Coordinates | None],
    target: Path,
    findings: Findings,
) -> None:
    """Stream the counts into the standard file; once a problem is known, they are only checked.

    genes: as they stand in the file, and in its copy.
    """
    found, written = genes
    check, places = CountCheck(len(found)), GenePlaces.of(found, written)
    with standard_h5ad_file(target, written) as writer:
        for block in matrix.blocks(rows_per_block(len(found))):
            canonical = check.add(block)
            if canonical is not None and not findings.problems and not check.failed:
                copy = places.apply(canonical)
                writer.append(copy.indptr, copy.indices, copy.counts)
        check.report(source, file, matrix.shape, findings)
        if not findings.problems:
            writer.finish(file.name_blocks("obs"), *copied)
