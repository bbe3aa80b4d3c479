"""The merge of several files into one: their common genes, in the order of the names, and all cells, file after file.

Counts are not copied: union.json says which cells are where, and `UnionReader` reads them from the standard copy of
each file. Files come in the order of their names, so the merge is the same however they are listed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted, listed
from pipeline.data.contract import Accepted, Contract
from pipeline.data.parts import Part
from pipeline.data.raw_cells import UNION
from pipeline.data.source import Findings, Source
from pipeline.data.standard_h5ad_reader import open_standard_h5ad
from pipeline.data.union_reader import Member, Union, UnionReader


def merge(contract: Contract, source: Source, parts: Sequence[Part], folder: Path) -> Accepted:
    """Check what concerns the cells of all files, and write union.json into `folder`.

    source: of any of the files; they differ in path and constants alone. ExpectedError where no gene is in all files,
    their coordinates differ in dimensions, or the contract's rules find problems. Memory: the covariates, and 8 bytes
    for the name of each cell.
    """
    union, notes = _union(parts, "section" in source.columns or "section" in source.constant)
    asked = {*source.columns, *source.constant}
    with UnionReader(union, Path()) as reader:
        columns = {
            slot.name: reader.covariate(slot.name)
            for slot in contract.slots
            if slot.place == "obs" and slot.name in asked
        }
        doses = reader.doses()
    findings = Findings(notes=[*_notes_of(parts), *notes])
    for rule, needed in contract.rules:
        if set(needed) <= set(columns):
            rule(source, columns, findings)
    findings.raise_problems(listed([part.file for part in parts], 3))
    union.write(folder / UNION)
    return Accepted(reader.cells, len(union.genes), columns, findings.notes, doses, source.combination)


def _union(parts: Sequence[Part], have_sections: bool) -> tuple[Union, list[str]]:
    """What is to be read as one, and notes on it."""
    genes: set[str] = set()
    every: set[str] = set()
    members: list[Member] = []
    hashes, dimensions, sections = [], [], []
    for part in parts:
        with open_standard_h5ad(part.copy) as reader:
            genes = _common(genes, part, reader.genes) if members else set(reader.genes)
            every.update(reader.genes)
            members.append(Member(part.copy.as_posix(), part.stem, reader.cells, reader.nonzeros))
            hashes += [np.fromiter(map(hash, names), np.int64, len(names)) for names in reader.name_blocks()]
            places_NS = reader.spatial()
            dimensions.append(0 if places_NS is None else places_NS.shape[1])
            sections += reader.covariate("section").labels if have_sections else []
    if len(set(dimensions)) > 1:
        told = ", ".join(f"{part.file} {number}" for part, number in zip(parts, dimensions, strict=True))
        raise ExpectedError(
            f"the files' coordinates differ in dimensions ({told}): expected the same number in every file; leave out "
            "the third coordinate where it is constant"
        )
    union = Union(sorted(genes), members, _repeat(parts, hashes), len(set(sections)) < len(sections))
    notes = []
    if lost := len(every) - len(genes):
        notes.append(f"{counted(lost, 'gene')} of {len(every):,} not in every file, and so left out")
    for repeat, what in ((union.names_repeat, "cell"), (union.sections_repeat, "section")):
        if repeat:
            notes.append(f"{what} names repeat across files: each has the name of its file in front")
    return union, notes


def _common(genes: set[str], part: Part, found: Sequence[str]) -> set[str]:
    common = genes.intersection(found)
    if not common:
        raise ExpectedError(
            f"the files share no gene: {part.file} names {listed(sorted(found), 3)}, but what is common to the files "
            f"before it is {listed(sorted(genes), 3)}; expected the same genes under the same names (all symbols, or "
            "all identifiers) in every file"
        )
    return common


def _repeat(parts: Sequence[Part], hashes: Sequence[npt.NDArray[np.int64]]) -> bool:
    """Whether some cell name is in more than one file; inside a file none is. hashes: of the names of all cells."""
    hash_N = np.sort(np.concatenate(hashes))
    suspects = set(hash_N[1:][hash_N[1:] == hash_N[:-1]].tolist())
    seen: set[str] = set()
    for part in parts if suspects else ():
        with open_standard_h5ad(part.copy) as reader:
            for names in reader.name_blocks():
                for name in names:
                    if hash(name) in suspects:
                        if name in seen:
                            return True
                        seen.add(name)
    return False


def _notes_of(parts: Sequence[Part]) -> list[str]:
    """The files' own notes, one that several have once."""
    stems: Mapping[str, list[str]] = {note: [] for part in parts for note in part.notes}
    for part in parts:
        for note in part.notes:
            stems[note].append(part.stem)
    return [f"{listed(of, 3) if len(of) < len(parts) else 'every file'}: {note}" for note, of in stems.items()]
