"""Are these raw counts? One streamed pass over all stored values, which also brings them to canonical CSR form."""

import numpy as np
import numpy.typing as npt

from pipeline.core.wording import counted
from pipeline.data.cells import pointers
from pipeline.data.csr import CountMatrix, CsrBlock
from pipeline.data.h5ad import AnnDataFile
from pipeline.data.source import Findings, Source

LARGEST = np.iinfo(np.int32).max  # 2,147,483,647: no gene of a cell is counted as often
SAMPLE = 100  # cells inspected to guess how non-integers came about
ENTRIES_PER_BLOCK = 16_000_000  # of a dense matrix in memory at once


# Where counts are looked for by "auto", in this order; then in the other layers.
USUAL_PLACES = ("layers/counts", "raw/X", "X")


def rows_per_block(genes: int) -> int:
    """Cells to read at once: few enough for a dense block to fit, many enough to amortise the cost per block."""
    return max(64, min(8_192, ENTRIES_PER_BLOCK // max(genes, 1)))


class CountCheck:
    """Collects what is wrong with the counts, block by block."""

    def __init__(self, genes: int) -> None:
        self.cells = 0
        self.empty_cells = 0
        self.nonzeros = 0
        self.cells_per_gene = np.zeros(genes, np.int64)
        self.negative = self.nan = self.infinite = self.fractional = self.too_large = 0
        self.smallest = 0.0
        self.largest_fractional = 0.0
        self.example: str | None = None
        self.likely: str | None = None

    @property
    def failed(self) -> bool:
        """True once a value was seen that is not a count."""
        return bool(self.negative or self.nan or self.infinite or self.fractional or self.too_large)

    def add(self, block: CsrBlock) -> CsrBlock | None:
        """Check a block; its canonical form (int32, genes ascending, no zeros), or None where a value is no count."""
        with np.errstate(invalid="ignore"):
            counts = block.counts.astype(np.int32)
        # The cast is exact for counts only; blocks with a value that it changed, or a negative one, are classified.
        if not (np.array_equal(counts, block.counts) and (len(counts) == 0 or counts.min() >= 0)):
            self._classify(block)
            return None
        canonical = _canonical(block, counts, len(self.cells_per_gene))
        if canonical is None:
            self.too_large += 1
            return None
        self.cells += len(canonical)
        self.nonzeros += len(canonical.counts)
        self.empty_cells += int((np.diff(canonical.indptr) == 0).sum())
        self.cells_per_gene += np.bincount(canonical.indices, minlength=len(self.cells_per_gene))
        return canonical

    def _classify(self, block: CsrBlock) -> None:
        values = block.counts.astype(np.float64)
        finite = np.isfinite(values)
        fractional = finite & (values != np.rint(values))
        bad = ~finite | fractional | (values < 0) | (values > LARGEST)
        self.nan += int(np.isnan(values).sum())
        self.infinite += int(np.isinf(values).sum())
        self.fractional += int(fractional.sum())
        self.negative += int((values[finite] < 0).sum())
        self.too_large += int((values[finite] > LARGEST).sum())
        self.smallest = min(self.smallest, float(values[finite].min(initial=0)))
        self.largest_fractional = max(self.largest_fractional, float(values[fractional].max(initial=0)))
        if self.example is None:
            entry = int(np.argmax(bad))
            cell = block.start + int(np.searchsorted(block.indptr, entry, side="right")) - 1
            self.example = f"such as {values[entry]:g} in cell {cell + 1}, gene {int(block.indices[entry]) + 1}"
        if fractional.any() and self.likely is None:
            self.likely = likely_transformation(block)

    def report(self, source: Source, file: AnnDataFile, shape: tuple[int, int], findings: Findings) -> None:
        """Add what was found, once all blocks of a matrix of this shape are in."""
        where = f"counts in {source.counts}"
        if self.failed:
            findings.problem(where, self.found(), "whole numbers from 0 on (raw counts)", _advice(source, file, shape))
        elif self.cells and not self.nonzeros:
            fix = f"point {source.key('counts')} at the raw counts"
            findings.problem(where, "zeros alone: every cell and gene is empty", "counts above 0", fix)
        else:
            empty_genes = int((self.cells_per_gene == 0).sum())
            for number, what in ((self.empty_cells, "cell"), (empty_genes, "gene")):
                if number:
                    findings.notes.append(f"{counted(number, what)} without a count; preprocess drops them")

    def found(self) -> str:
        """The values that are not counts, for a message; after `failed`."""
        kinds = (
            (self.negative, "negative value", f" (down to {self.smallest:g})"),
            (self.nan, "NaN value", ""),
            (self.infinite, "infinite value", ""),
            (self.fractional, "non-integer value", ""),
            (self.too_large, "value", f" beyond {LARGEST:,} (32 bits)"),
        )
        found = " and ".join(counted(number, kind) + detail for number, kind, detail in kinds if number)
        return f"{found}, {self.example}{self._guess()}" if self.example else f"{found}{self._guess()}"

    def _guess(self) -> str:
        if not self.fractional:
            return ""
        if self.likely:
            return f"; this looks {self.likely}"
        if self.negative:
            return "; this looks scaled or batch-corrected, not counted"
        return "; this looks log-transformed" if self.largest_fractional < 20 else ""


def likely_transformation(block: CsrBlock) -> str | None:
    """The likely transformation of a block with non-integers, or None where no simple inverse restores integers.

    Once inverted, every value is a multiple of its cell's smallest one, which usually is a count of 1.
    """
    inverses = (
        ("log-normalised", np.expm1),
        ("log2-normalised", _exp2m1),
        ("normalised to a common total", np.positive),
    )
    for name, inverse in inverses:
        ratios = [np.zeros(0)]
        for cell in range(min(SAMPLE, len(block))):
            values = block.counts[block.indptr[cell] : block.indptr[cell + 1]].astype(np.float64)
            with np.errstate(over="ignore"):
                undone = inverse(values[(values > 0) & (values < np.inf)])
            ratios.append(undone[np.isfinite(undone)] / undone.min(initial=np.inf))
        # Ratios of 1 are whole in any case; beyond 20, the stored float32 is rounded too coarsely to tell.
        ratio = np.concatenate(ratios)
        ratio = ratio[(ratio > 1.5) & (ratio < 20)]
        if len(ratio) and (np.abs(ratio - np.rint(ratio)) < 0.05).mean() > 0.8:
            return name
    return None


def _exp2m1(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.exp2(values) - 1.0


def find_counts(source: Source, file: AnnDataFile, findings: Findings) -> str | None:
    """The place of the counts that the source names or, by "auto", the first one that holds counts, and a note which.

    None, and a problem that says what is wrong with each place, where none does.
    """
    if source.counts != "auto":
        return source.counts
    refused = []
    for place in places_in_order(file):
        looked = first_counts(file.counts(place), file.cells)
        if isinstance(looked, CsrBlock):
            findings.notes.append(f"the counts are those of {place}")
            return place
        refused.append(f"in {place} {looked}")
    findings.problem(
        "counts",
        "; ".join(refused) or "no matrix of cells x genes",
        "whole numbers from 0 on (raw counts) in X, in raw/X or in a layer",
        "put the raw counts into the file, as adata.layers['counts']",
    )
    return None


def _advice(source: Source, file: AnnDataFile, shape: tuple[int, int]) -> str:
    places = (place for place in file.count_places() if place != source.counts)
    better = [place for place in places if isinstance(first_counts(file.counts(place), shape[0]), CsrBlock)]
    if better:
        return f"set {source.key('counts')} to {' or '.join(better)}, which holds whole numbers"
    return f"put the raw counts into the file, such as a layer, and point {source.key('counts')} at them"


def places_in_order(file: AnnDataFile) -> list[str]:
    """The places of a file that hold a matrix, as they are looked through for counts; layers as in the file."""
    return sorted(file.count_places(), key=lambda place: (*USUAL_PLACES, place).index(place))


def first_counts(matrix: CountMatrix, cells: int) -> CsrBlock | str:
    """The first block with counts of these cells or, as far as that shows, what is wrong with the matrix as counts."""
    if matrix.kind not in "biuf":
        return f"values of type {matrix.dtype}"
    if matrix.shape[0] != cells:
        return f"{counted(matrix.shape[0], 'row')} for {counted(cells, 'cell')}"
    check = CountCheck(matrix.shape[1])
    for block in matrix.blocks(rows_per_block(matrix.shape[1])):
        counts = check.add(block)
        if counts is None:
            return check.found()
        if check.nonzeros:
            return counts
    return "zeros alone"


def _canonical(block: CsrBlock, counts: npt.NDArray[np.int32], genes: int) -> CsrBlock | None:
    """Without zeros, genes ascending inside each cell, repeated entries added up; None where a sum exceeds 32 bits."""
    cell = np.repeat(np.arange(len(block)), np.diff(block.indptr))
    indices = block.indices
    if len(counts) and counts.min() == 0:
        kept = counts > 0
        cell, indices, counts = cell[kept], indices[kept], counts[kept]
    place = cell * genes + indices
    if (np.diff(place) <= 0).any():
        order = np.argsort(place, kind="stable")
        place, first = np.unique(place[order], return_index=True)
        sums = np.add.reduceat(counts[order].astype(np.int64), first)
        if sums.max() > LARGEST:
            return None
        cell, indices, counts = place // genes, (place % genes).astype(np.int32), sums.astype(np.int32)
    return CsrBlock(block.start, pointers(np.bincount(cell, minlength=len(block))), indices, counts)
