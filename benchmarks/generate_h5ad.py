"""A large AnnData file for the benchmarks, in the form in which `ingest` leaves it: counts as in droplet sequencing.

    python benchmarks/generate_h5ad.py /tmp/cells.h5ad --cells 100000

Gene abundances are log-normal (a few genes hold most of the counts), cell types and perturbations multiply some of
them, sequencing depth is log-normal, and a cell's counts are a multinomial draw. Written block by block, so memory does
not grow with the number of cells. Same arguments, same file content.
"""

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

BLOCK = 8192  # cells
SLOTS = 2**18  # of a group's lookup table: each gene owns a number of slots in proportion to its abundance
CELL_TYPES = [f"cell type {number}" for number in range(8)]
PERTURBATIONS = ["control", *(f"drug {number}" for number in range(1, 5))]
BATCHES = [f"donor {number}" for number in range(4)]
CONTROL = "control"


def lookup_tables(genes: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """(groups, SLOTS): a uniform slot gives a gene with the probability of its abundance in that group."""
    abundance_G = rng.lognormal(0, 1.5, genes)
    by_type = np.exp(rng.normal(0, 1.2, (len(CELL_TYPES), genes)) * (rng.random((len(CELL_TYPES), genes)) < 0.05))
    by_drug = np.exp(rng.normal(0, 1.0, (len(PERTURBATIONS), genes)) * (rng.random((len(PERTURBATIONS), genes)) < 0.02))
    tables = []
    for type_G in by_type:
        for drug_G in by_drug:
            share_G = abundance_G * type_G * drug_G
            owned_G = rng.multinomial(SLOTS, share_G / share_G.sum())
            tables.append(np.repeat(np.arange(genes, dtype=np.int32), owned_G))
    return np.stack(tables)


def draw_block(
    tables: npt.NDArray[np.int32], genes: int, cells: int, depth: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Cells as (entries per cell, gene indices, counts, group codes)."""
    groups = rng.integers(0, len(tables), cells)
    totals = np.maximum(20, rng.lognormal(np.log(depth), 0.4, cells)).astype(np.int64)
    cell_of = np.repeat(np.arange(cells, dtype=np.int32), totals)
    slots = rng.integers(0, SLOTS, len(cell_of), dtype=np.int32)
    drawn = tables.reshape(-1)[groups[cell_of] * SLOTS + slots]
    keys = np.sort(cell_of * np.int32(genes) + drawn)  # sorted by cell, then gene; repeats are counts
    first = np.concatenate([[True], keys[1:] != keys[:-1]])
    places = np.flatnonzero(first)
    counts = np.diff(np.append(places, len(keys))).astype(np.int32)
    cell, gene = np.divmod(keys[places], np.int32(genes))
    return np.bincount(cell, minlength=cells), gene.astype(np.int32), counts, groups


def drawn_blocks(
    cells: int, genes: int, depth: float, seed: int, part: int = 0
) -> Iterator[tuple[npt.NDArray[np.generic], ...]]:
    """Blocks in order, drawn in two threads; each has its own generator, so the threads do not change the result.

    Parts of one seed are other cells of the same kinds.
    """
    table_seed, *seeds = np.random.SeedSequence(seed).spawn(1 + -(-cells // BLOCK))
    seeds = (
        [np.random.SeedSequence(each.entropy, spawn_key=(*each.spawn_key, part)) for each in seeds] if part else seeds
    )
    tables = lookup_tables(genes, np.random.default_rng(table_seed))
    sizes = [min(BLOCK, cells - start) for start in range(0, cells, BLOCK)]
    with ThreadPoolExecutor(2) as pool:
        jobs = []
        for size, block_seed in zip(sizes, seeds, strict=True):
            jobs.append(pool.submit(draw_block, tables, genes, size, depth, np.random.default_rng(block_seed)))
            if len(jobs) > 3:
                yield jobs.pop(0).result()
        for job in jobs:
            yield job.result()


def generate(path: Path, cells: int, genes: int = 20_000, depth: float = 570, seed: int = 0) -> int:
    """Write the file and return its number of non-zeros; `depth` is the median count of a cell."""
    if BLOCK * genes >= 2**31:
        raise SystemExit(f"at most {2**31 // BLOCK} genes")
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        matrix = file.create_group("X")
        matrix.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (cells, genes)})
        growing = {"shape": (0,), "maxshape": (None,), "chunks": (2**20,), "dtype": np.int32}
        indices, data = (matrix.create_dataset(name, **growing) for name in ("indices", "data"))
        lengths, groups, nonzeros = [], [], 0
        for block_lengths, block_indices, block_counts, block_groups in drawn_blocks(cells, genes, depth, seed):
            for dataset, block in ((indices, block_indices), (data, block_counts)):
                dataset.resize((nonzeros + len(block),))
                dataset[nonzeros:] = block
            nonzeros += len(block_indices)
            lengths.append(block_lengths)
            groups.append(block_groups)
        matrix["indptr"] = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)

        group = np.concatenate(groups)
        obs = _table(file, "obs", (f"AAACCTGAG{number:09d}-1" for number in range(cells)), cells)
        _categorical(obs, "cell_type", CELL_TYPES, group // len(PERTURBATIONS))
        _categorical(obs, "perturbation", PERTURBATIONS, group % len(PERTURBATIONS))
        # Batches lie one after the other, as files that were concatenated do.
        _categorical(obs, "batch", BATCHES, np.arange(cells) * len(BATCHES) // cells)
        _table(file, "var", (f"GENE{number:05d}" for number in range(genes)), genes)
        for name in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
            file.create_group(name).attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    return nonzeros


def _table(file: h5py.File, name: str, index: Iterator[str], size: int) -> h5py.Group:
    table = file.create_group(name)
    table.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
    columns = ["perturbation", "cell_type", "batch"] if name == "obs" else []
    table.attrs.create("column-order", columns, dtype=h5py.string_dtype())
    names = table.create_dataset("_index", (size,), h5py.string_dtype())
    names.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    for start in range(0, size, 65_536):
        stop = min(size, start + 65_536)
        names[start:stop] = [next(index) for _ in range(stop - start)]
    return table


def _categorical(table: h5py.Group, name: str, labels: list[str], codes: npt.NDArray[np.int64]) -> None:
    column = table.create_group(name)
    column.attrs.update({"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False})
    column["codes"] = codes.astype(np.int8)
    column["categories"] = np.array(labels, dtype=h5py.string_dtype())
    for part, kind in (("codes", "array"), ("categories", "string-array")):
        column[part].attrs.update({"encoding-type": kind, "encoding-version": "0.2.0"})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.perf_counter()
    nonzeros = generate(arguments.path, arguments.cells, arguments.genes, seed=arguments.seed)
    print(
        f"{arguments.path}: {arguments.cells:,} cells x {arguments.genes:,} genes, {nonzeros:,} non-zeros "
        f"({nonzeros / arguments.cells:.0f} per cell) in {time.perf_counter() - start:.1f} s"
    )


if __name__ == "__main__":
    main()
