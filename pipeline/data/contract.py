"""What an input AnnData must hold, as data, and the one checker that holds a file against it.

A new kind of data set is one more entry of CONTRACTS: its slots, and rules over them. Every problem of a file is
reported at once; only a file that cannot be read at all stops the check early.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.data import covariate_rules as rules
from pipeline.data.canonical import canonical_file
from pipeline.data.coordinates import Coordinates
from pipeline.data.count_checks import CountCheck, check_shape, rows_per_block
from pipeline.data.h5ad import (
    MISSING,
    UNMATCHED,
    Column,
    Names,
    count_places,
    name_blocks,
    obs_columns,
    open_counts,
    read_column,
    read_names,
)
from pipeline.data.positions import one_place_each, read_positions
from pipeline.data.source import Findings, Source, close_to, counted, listed, refuse_unshowable
from pipeline.data.treatment_labels import LabelDoses, settle_labels
from pipeline.params.obs_column import ObsColumn

Place = Literal["counts", "obs", "obsm"]
Rule = Callable[[Source, Mapping[str, Column], Findings], None]
PlaceRule = Callable[[Source, Coordinates, Mapping[str, Column], Findings], None]


@dataclass(frozen=True)
class Slot:
    """One thing that a file must hold."""

    name: str  # its key in params.yaml (under columns for obs, unless it is optional)
    place: Place
    type: str
    meaning: str
    optional: bool = False  # if so, params.yaml may leave it null


@dataclass(frozen=True)
class Contract:
    """All that a kind of data set must hold."""

    slots: tuple[Slot, ...]
    rules: tuple[tuple[Rule, tuple[str, ...]], ...] = ()  # each with the obs slots it needs
    place_rules: tuple[PlaceRule, ...] = ()  # over the cells' coordinates too


CONTRACTS = {
    "perturbation": Contract(
        slots=(
            Slot("counts", "counts", "whole numbers", "raw counts of molecules, cells x genes"),
            Slot("perturbation", "obs", "label", "what was done to the cell; one label is the control"),
            Slot("cell_type", "obs", "label", "the context that an effect is measured in"),
            Slot("batch", "obs", "label", "donor, plate or run: the technical origin of the cell"),
            Slot("dose", "obs", "number", "dose of what was done to the cell", optional=True),
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
    """A file that keeps its contract."""

    cells: int
    genes: int
    columns: dict[str, Column]
    notes: list[str]
    doses: LabelDoses | None = None  # where the source has doses or combinations
    combination: str | None = None  # what separates treatments in a label


def accept(contract: Contract, source: Source, target: Path) -> Accepted:
    """Check the file and write its canonical copy to `target`, in one streamed pass.

    Raises ExpectedError with all problems of the file; `target` is then of no use. Memory: a block of cells, and about
    60 bytes per cell for covariates and the search for repeated names.
    """
    findings = Findings()
    columns, doses = _read_columns(contract, source, findings)
    for rule, needed in contract.rules:
        if set(needed) <= set(columns):
            rule(source, columns, findings)
    cells = _check_cell_names(source, findings)
    for name, label in source.constant.items():
        columns[name] = Column(np.zeros(cells, np.int32), [label], [])
    optional = all(slot.optional for slot in contract.slots if slot.place == "obsm")
    spatial = read_positions(source, cells, findings, optional)
    for place_rule in contract.place_rules:
        if spatial is not None:
            place_rule(source, spatial, columns, findings)
    places = count_places(source.path)
    axis: Names = "raw/var" if source.counts == "raw/X" and source.counts in places else "var"
    genes = read_names(source.path, axis)
    _check_gene_names(genes, axis, findings)
    if source.counts in places:
        _copy_counts(source, cells, genes, columns, doses, spatial, target, findings)
    else:
        mend = f"set {source.key('counts')} to the place of the raw counts{close_to(source.counts, places)}"
        findings.problem(f"counts in {source.counts}", f"matrices in {listed(places)} only", "a matrix there", mend)
    findings.raise_problems(source.path)
    return Accepted(cells, len(genes), columns, findings.notes, doses, source.combination)


def _read_columns(
    contract: Contract, source: Source, findings: Findings
) -> tuple[dict[str, Column], LabelDoses | None]:
    """Covariates that could be read; a cell without a label is a problem, but the other cells still tell of others.

    With doses or combinations, the perturbation column says both, and what each of its labels stands for comes second.
    """
    columns: dict[str, Column] = {}
    for slot in contract.slots:
        if slot.place != "obs" or slot.name not in source.columns:
            continue
        wanted = source.columns[slot.name]
        key = source.key(slot.name if slot.optional else f"columns.{slot.name}")
        column = _read_column(source, slot, wanted, key, findings)
        if column is None:
            continue
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
                f"{counted(missing, 'cell')} with a missing value",
                "a label for every cell",
                "label these cells or drop them from the file",
            )
    if source.dose is None and source.combination is None:
        return columns, None
    (slot,) = (slot for slot in contract.slots if slot.name == "dose")
    dose = _read_column(source, slot, source.dose, source.key("dose"), findings) if source.dose is not None else None
    labels = columns.pop("perturbation", None)
    if labels is None or (source.dose is not None and dose is None):
        return columns, None  # told already; without doses the labels would mislead the rules
    settled, doses = settle_labels(source, labels, dose, findings)
    return {"perturbation": settled, **columns}, doses


def _read_column(source: Source, slot: Slot, wanted: ObsColumn, key: str, findings: Findings) -> Column | None:
    """The obs column of a slot, or None, which is a problem, where the file has no such column."""
    found = obs_columns(source.path)
    if wanted.column in found:
        return read_column(source.path, wanted.column, wanted.pattern)
    findings.problem(
        f"obs column {wanted.column!r} ({slot.name})",
        f"no such column; there are {listed(found, 20)}",
        slot.meaning,
        f"set {key} to the column that holds it{close_to(wanted.column, found)}",
    )
    return None


def _check_cell_names(source: Source, findings: Findings) -> int:
    """The number of cells; two of the same name are a problem. Hashes are kept, 8 bytes a cell, not names."""
    hashes = np.concatenate(
        [
            np.zeros(0, np.int64),
            *(np.fromiter(map(hash, block), np.int64, len(block)) for block in name_blocks(source.path, "obs")),
        ]
    )
    hashes.sort()
    suspects = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    if suspects:
        seen: set[str] = set()
        repeated: dict[str, None] = {}
        for block in name_blocks(source.path, "obs"):
            for name in block:
                if hash(name) in suspects:
                    if name in seen:
                        repeated[name] = None
                    seen.add(name)
        if repeated:
            _duplicates(list(repeated), "cell names in obs", "adata.obs_names_make_unique()", findings)
    if not len(hashes):
        findings.problem("cells in obs", "none", "cells", "write the file again with its cells")
    return len(hashes)


def _check_gene_names(genes: list[str], axis: str, findings: Findings) -> None:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for gene in genes:
        if gene in seen:
            repeated[gene] = None
        seen.add(gene)
    if repeated:
        mend = "adata.var_names_make_unique()" if axis == "var" else "unique names in adata.raw.var"
        _duplicates(list(repeated), f"gene names in {axis}", mend, findings)
    refuse_unshowable(genes, f"gene names in {axis}", findings)
    if not genes:
        findings.problem(f"genes in {axis}", "none", "genes", "write the file again with its genes")


def _duplicates(repeated: list[str], where: str, call: str, findings: Findings) -> None:
    found = f"{counted(len(repeated), 'duplicate name')} ({listed(repeated, 5)})"
    findings.problem(where, found, "every name once", f"join what belongs together, or use {call} and write again")


def _copy_counts(
    source: Source,
    cells: int,
    genes: list[str],
    columns: dict[str, Column],
    doses: LabelDoses | None,
    spatial: Coordinates | None,
    target: Path,
    findings: Findings,
) -> None:
    """Stream the counts into the canonical file; once a problem is known, they are only checked."""
    check = CountCheck(len(genes))
    with open_counts(source.path, source.counts) as matrix, canonical_file(target, genes) as writer:
        if not check_shape(matrix, cells, len(genes), source, findings):
            return
        for block in matrix.blocks(rows_per_block(len(genes))):
            canonical = check.add(block)
            if canonical is not None and not findings.problems and not check.failed:
                writer.append(canonical.indptr, canonical.indices, canonical.counts)
        check.report(source, findings)
        if not findings.problems:
            writer.finish(name_blocks(source.path, "obs"), columns, doses, spatial)
