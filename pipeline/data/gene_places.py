"""The cells of one file over the genes of another list, or in another order. Axes: G genes of the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pipeline.data.csr import CsrBlock


@dataclass(frozen=True)
class GenePlaces:
    """Where each gene of a file stands in another list, which may lack some of them."""

    place_G: npt.NDArray[np.int32]  # -1: not at all

    @classmethod
    def of(cls, found: Sequence[str], wanted: Sequence[str]) -> "GenePlaces":
        """The places of the genes `found` among those `wanted`, each of which occurs once."""
        place_of = {gene: place for place, gene in enumerate(wanted)}
        return cls(np.fromiter((place_of.get(gene, -1) for gene in found), np.int32, len(found)))

    @cached_property
    def _all(self) -> bool:
        return bool((self.place_G >= 0).all())

    @cached_property
    def _ascending(self) -> bool:
        return bool((np.diff(self.place_G[self.place_G >= 0]) > 0).all())

    def apply(self, block: CsrBlock) -> CsrBlock:
        """The same cells over the wanted genes, ascending inside each cell.

        block: genes ascending inside each cell, all of them among the file's. Linear in its entries, unless the order
        of the genes differs: then the entries of each cell are sorted.
        """
        if self._all and self._ascending and len(self.place_G) and self.place_G[-1] == len(self.place_G) - 1:
            return block  # the same genes in the same order
        indptr, counts = block.indptr, block.counts
        places = np.take(self.place_G, block.indices, mode="clip")  # clip: unchecked, which is faster
        if not self._all:
            entries = np.flatnonzero(places >= 0)
            indptr, places, counts = np.searchsorted(entries, indptr), places[entries], counts[entries]
        if not self._ascending:
            places, counts = _sorted_in_cells(indptr, places, counts)
        return CsrBlock(block.start, indptr, places, counts)


def _sorted_in_cells(
    indptr: npt.NDArray[np.int64], places: npt.NDArray[np.int32], counts: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Entries sorted by cell and place. Cell, place and count of each make one number: numpy sorts numbers three times
    as fast as it finds their order."""
    cells, width = len(indptr) - 1, int(places.max(initial=0)) + 1
    assert cells * width < 2**31, "blocks are far smaller"
    first = np.repeat(np.arange(cells, dtype=np.int64) * width, np.diff(indptr))  # of the numbers of each entry's cell
    packed = first + places
    packed <<= 32
    packed |= counts
    packed.sort()
    return ((packed >> 32) - first).astype(np.int32), (packed & 0xFFFFFFFF).astype(np.int32)
