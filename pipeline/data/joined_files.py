"""Several accepted files joined into one standard h5ad: their common genes, in the order of the first, and all cells.

Axes: N cells, G genes, S spatial dimensions.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.data.contract import Accepted, Contract, accept
from pipeline.data.coordinates import Coordinates
from pipeline.data.csr import CsrBlock
from pipeline.data.h5ad import Column
from pipeline.data.positions import repeats
from pipeline.data.source import Findings, Source, counted, listed
from pipeline.data.standard_h5ad import standard_h5ad_file
from pipeline.data.standard_h5ad_reader import StandardH5adReader, open_standard_h5ad
from pipeline.data.treatment_labels import LabelDoses

Mask = npt.NDArray[np.bool_]

CELLS_PER_BLOCK = 8192
NAMES_PER_BLOCK = 65_536


@dataclass(frozen=True)
class Part:
    """A file that fulfils the contract, and its standard copy."""

    stem: str  # of the file's name; unique among parts
    accepted: Accepted
    copy: Path


def accept_files(contract: Contract, sources: Sequence[Source], target: Path) -> Accepted:
    """Check the files and write the cells of all to `target`, which stands in a folder of its own.

    sources: at least one, which differ in path and constants alone. The contract's rules over covariates are for all
    cells together: a perturbation may have its controls in another file. ExpectedError with the problems of all files.
    """
    first = sources[0]
    if len(sources) == 1 and first.same_place == "refuse":  # all of it is taken as it is
        return accept(contract, first, target)
    with TemporaryDirectory(dir=target.parent) as folder:
        parts = _accept_each(replace(contract, rules=()), sources, Path(folder))
        covariates = [slot.name for slot in contract.slots if slot.name in parts[0].accepted.columns]
        accepted = _join(parts, covariates, target, first.same_place == "first")
    findings = Findings(notes=accepted.notes)
    for rule, needed in contract.rules:
        if set(needed) <= set(covariates):
            rule(first, accepted.columns, findings)
    findings.raise_problems(listed([source.path for source in sources], 3))
    return accepted


def _accept_each(contract: Contract, sources: Sequence[Source], folder: Path) -> list[Part]:
    """The standard copy of every file, in `folder`; ExpectedError with the problems of all files."""
    parts, problems = [], []
    for number, source in enumerate(sources):
        target = folder / f"{number}.h5ad"
        try:
            parts.append(Part(source.path.stem, accept(contract, source, target), target))
        except ExpectedError as error:
            problems.append(str(error))
    if problems:
        raise ExpectedError("\n".join(problems))
    return parts


def _join(parts: Sequence[Part], covariates: Sequence[str], target: Path, first_of_place: bool) -> Accepted:
    """Write the cells of these parts to `target`, file after file.

    first_of_place: of cells at one position in a section of a file, keep the first. Cell names that occur in more than
    one file are prefixed with the file's stem, `stem/name`; so are section names. ExpectedError: no gene is in all
    files, or their coordinates have different dimensions. Memory: a block of cells, the coordinates and about 30 bytes
    per cell.
    """
    with ExitStack() as stack:
        readers = [stack.enter_context(open_standard_h5ad(part.copy)) for part in parts]
        genes = _common_genes(parts, readers)
        places = _all_places(parts, readers)
        kept = [np.ones(reader.cells, bool) for reader in readers]
        if first_of_place and places is not None:
            for kept_N, place_NS, part in zip(kept, places, parts, strict=True):
                kept_N[repeats(place_NS, part.accepted.columns["section"].codes)] = False
        notes = [f"{part.stem}: {note}" for part in parts for note in part.accepted.notes] if len(parts) > 1 else []
        notes += parts[0].accepted.notes if len(parts) == 1 else []
        dropped = int(sum((~kept_N).sum() for kept_N in kept))
        if dropped:
            notes.append(f"{counted(dropped, 'cell')} in the place of an earlier cell of the same section, left out")
        lost = len({gene for reader in readers for gene in reader.genes}.difference(genes))
        if lost:
            notes.append(f"{counted(lost, 'gene')} of {lost + len(genes):,} not in every file, and so left out")
        prefixed = _names_repeat(readers)
        if prefixed:
            notes.append("cell names repeat across files: each has the name of its file in front")
        columns = {name: _joined([part.accepted.columns[name] for part in parts], kept) for name in covariates}
        if "section" in columns and _sections_repeat(parts):
            by_file = [_prefixed(part.accepted.columns["section"], part.stem) for part in parts]
            columns["section"] = _joined(by_file, kept)
            notes.append("section names repeat across files: each has the name of its file in front")
        with standard_h5ad_file(target, genes) as writer:
            for reader, kept_N in zip(readers, kept, strict=True):
                place_G = _places(reader.genes, genes)
                for block in reader.blocks(CELLS_PER_BLOCK):
                    rows = slice(block.start, block.start + len(block))
                    chosen = over_genes(block, kept_N[rows], place_G, len(genes))
                    writer.append(chosen.indptr, chosen.indices, chosen.counts)
            doses, kept_NS = _all_doses(parts), None
            if places is not None:
                kept_NS = np.concatenate([place_NS[kept_N] for place_NS, kept_N in zip(places, kept, strict=True)])
            writer.finish(_names(parts, readers, kept, prefixed), columns, doses, kept_NS)
        cells = int(sum(kept_N.sum() for kept_N in kept))
        return Accepted(cells, len(genes), columns, notes, doses, parts[0].accepted.combination)


def over_genes(block: CsrBlock, kept_N: Mask, place_G: npt.NDArray[np.int64], genes: int) -> CsrBlock:
    """The chosen cells over other genes, ascending in each; place_G: (genes before,), -1 where one is left out."""
    cell = np.repeat(np.where(kept_N, np.cumsum(kept_N) - 1, -1), np.diff(block.indptr))
    place = place_G[block.indices]
    chosen = (place >= 0) & (cell >= 0)
    cell, place, counts = cell[chosen], place[chosen], block.counts[chosen]
    order = np.argsort(cell * genes + place, kind="stable")
    cells = int(kept_N.sum())
    indptr = np.zeros(cells + 1, np.int64)
    np.cumsum(np.bincount(cell, minlength=cells), out=indptr[1:])
    return CsrBlock(block.start, indptr, place[order].astype(np.int32), counts[order])


def _common_genes(parts: Sequence[Part], readers: Sequence[StandardH5adReader]) -> list[str]:
    genes = readers[0].genes
    for part, reader in zip(parts[1:], readers[1:], strict=True):
        known = set(reader.genes)
        common = [gene for gene in genes if gene in known]
        if not common:
            raise ExpectedError(
                f"the files share no gene: {part.stem}.h5ad names {listed(reader.genes, 3)}, but what is common to the "
                f"files before it is {listed(genes, 3)}; expected the same genes under the same names (all symbols, or "
                "all identifiers) in every file"
            )
        genes = common
    return genes


def _all_places(parts: Sequence[Part], readers: Sequence[StandardH5adReader]) -> list[Coordinates] | None:
    """The coordinates of each part; None where no coordinates were asked for."""
    found = [place_NS for reader in readers if (place_NS := reader.spatial()) is not None]
    if not found:
        return None
    assert len(found) == len(parts), "the settings, which are those of all files, ask for coordinates"
    dimensions = [place_NS.shape[1] for place_NS in found]
    if len(set(dimensions)) > 1:
        told = ", ".join(f"{part.stem}.h5ad {number}" for part, number in zip(parts, dimensions, strict=True))
        raise ExpectedError(
            f"the files' coordinates differ in dimensions ({told}): expected the same number in every file; leave out "
            "the third coordinate where it is constant"
        )
    return found


def _all_doses(parts: Sequence[Part]) -> LabelDoses | None:
    """Treatments and doses of all labels, sorted; a label, which contains them, stands for the same in every file."""
    found = [part.accepted.doses for part in parts if part.accepted.doses is not None]
    doses_of = {label: doses for of_part in found for label, doses in of_part.items()}
    return {label: doses_of[label] for label in sorted(doses_of)} if found else None


def _sections_repeat(parts: Sequence[Part]) -> bool:
    labels = [label for part in parts for label in part.accepted.columns["section"].labels]
    return len(set(labels)) < len(labels)


def _names_repeat(readers: Sequence[StandardH5adReader]) -> bool:
    """Whether some cell name is in more than one file; inside a file none is. 8 bytes a cell: hashes, not names."""
    hashes = np.concatenate(
        [np.fromiter(map(hash, names), np.int64, len(names)) for reader in readers for names in _name_blocks(reader)]
    )
    hashes.sort()
    suspects = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    seen: set[str] = set()
    for reader in readers if suspects else ():
        for names in _name_blocks(reader):
            for name in names:
                if hash(name) in suspects:
                    if name in seen:
                        return True
                    seen.add(name)
    return False


def _name_blocks(reader: StandardH5adReader) -> Iterator[list[str]]:
    for start in range(0, reader.cells, NAMES_PER_BLOCK):
        yield reader.names(start, min(start + NAMES_PER_BLOCK, reader.cells)).tolist()


def _names(
    parts: Sequence[Part], readers: Sequence[StandardH5adReader], kept: Sequence[Mask], prefixed: bool
) -> Iterator[list[str]]:
    for part, reader, kept_N in zip(parts, readers, kept, strict=True):
        start = 0
        for names in _name_blocks(reader):
            chosen = compress(names, kept_N[start : start + len(names)])
            yield [f"{part.stem}/{name}" for name in chosen] if prefixed else list(chosen)
            start += len(names)


def _prefixed(column: Column, stem: str) -> Column:
    return Column(column.codes, [f"{stem}/{label}" for label in column.labels], column.unmatched)


def _joined(columns: Sequence[Column], kept: Sequence[Mask]) -> Column:
    """One column of the kept cells, with the labels that occur there."""
    chosen = [column.codes[kept_N] for column, kept_N in zip(columns, kept, strict=True)]
    occur = [{column.labels[code] for code in np.unique(codes)} for column, codes in zip(columns, chosen, strict=True)]
    labels = sorted(set().union(*occur))
    code_of = {label: code for code, label in enumerate(labels)}
    renumbered = [
        np.array([code_of.get(label, -1) for label in column.labels], np.int32)[codes]
        for column, codes in zip(columns, chosen, strict=True)
    ]
    return Column(np.concatenate(renumbered), labels, [])


def _places(found: list[str], wanted: list[str]) -> npt.NDArray[np.int64]:
    place_of = {gene: place for place, gene in enumerate(wanted)}
    return np.array([place_of.get(gene, -1) for gene in found], np.int64)
