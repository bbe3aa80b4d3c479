"""The standard copy of one file: all of its cells or, of cells in one place, the first."""

from itertools import compress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from pipeline.core.wording import counted
from pipeline.data.cells import pointers
from pipeline.data.columns import Column
from pipeline.data.contract import Accepted, Contract, accept
from pipeline.data.positions import repeats
from pipeline.data.quality import entries_of
from pipeline.data.source import Source
from pipeline.data.standard_h5ad import standard_h5ad_file
from pipeline.data.standard_h5ad_reader import open_standard_h5ad

CELLS_PER_BLOCK = 8192
Mask = npt.NDArray[np.bool_]


def standard_copy(contract: Contract, source: Source, target: Path, genes_by_name: bool = False) -> Accepted:
    """Check the file and write its standard copy to `target`, in a folder of its own; arguments as of `accept`."""
    if source.same_place == "refuse":
        return accept(contract, source, target, genes_by_name)
    with TemporaryDirectory(dir=target.parent) as folder:
        every = Path(folder) / target.name
        accepted = accept(contract, source, every, genes_by_name)
        return _first_of_each_place(accepted, every, target)


def _first_of_each_place(accepted: Accepted, every: Path, target: Path) -> Accepted:
    """Write the cells of a standard file but those that lie where an earlier cell of their section does."""
    with open_standard_h5ad(every) as reader:
        places_NS, section = reader.spatial(), accepted.columns["section"]
        assert places_NS is not None, "cells have sections where they have places"
        kept_N = np.ones(reader.cells, bool)
        kept_N[repeats(places_NS, section.codes)] = False
        columns = {name: _of(column, kept_N) for name, column in accepted.columns.items()}
        with standard_h5ad_file(target, reader.genes) as writer:
            for block in reader.blocks(CELLS_PER_BLOCK):
                chosen_N = kept_N[block.start : block.start + len(block)]
                writer.append(pointers(np.diff(block.indptr)[chosen_N]), *entries_of(block, chosen_N))
            kept = iter(kept_N.tolist())  # each block takes its own
            names = (list(compress(block, kept)) for block in reader.name_blocks())
            writer.finish(names, columns, accepted.doses, places_NS[kept_N])
    cells = int(kept_N.sum())
    notes = list(accepted.notes)
    if cells < accepted.cells:
        dropped = counted(accepted.cells - cells, "cell")
        notes.append(f"{dropped} in the place of an earlier cell of the same section, left out")
    return Accepted(cells, accepted.genes, columns, notes, accepted.doses, accepted.combination)


def _of(column: Column, kept_N: Mask) -> Column:
    """The kept cells' labels, and no other."""
    codes = column.codes[kept_N]
    occur, places = np.unique(codes, return_inverse=True)
    return Column(places.astype(np.int32), [column.labels[code] for code in occur], [])
