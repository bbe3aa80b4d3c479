"""Splitting sections of tissue: whole sections are held out, or whole blocks of each, with a margin between them.

Adjacent cells are alike, so a split by cells would leak test cells through their neighbours. Blocks
are the squares or cubes of a grid over a section. Cells of training within the margin of a validation or test cell, and
those of validation within the margin of a test cell, are left out. Axes: N cells, S dimensions, B blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted, suggestion
from pipeline.data.coordinates import Coordinates
from pipeline.data.store import SPLITS

Mask = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.int64]
Splits = npt.NDArray[np.int8]

TRAIN, VALIDATION, TEST = range(len(SPLITS))
DROPPED, MARGIN = -1, -2
KEY = "alphastomics.preprocess"


@dataclass(frozen=True)
class SectionSplit:
    """How to split; params.yaml explains each."""

    test_sections: Sequence[str]
    validation_sections: Sequence[str]
    blocks_per_side: int
    test_share: float
    validation_share: float
    margin: float  # in sides of a block
    seed: int

    def described(self) -> Mapping[str, object]:
        """The description of the split in dataset.json."""
        ways: dict[str, object] = {}
        for name, sections, share in (
            ("test", self.test_sections, self.test_share),
            ("validation", self.validation_sections, self.validation_share),
        ):
            by_blocks = {"by": "blocks", "share": share}
            ways[name] = {"by": "sections", "sections": sorted(sections)} if sections else by_blocks
        if not (self.test_sections and self.validation_sections):
            ways |= {"blocks_per_side": self.blocks_per_side, "margin": self.margin}
        return ways


def check_sections(split: SectionSplit, sections: Sequence[str]) -> None:
    """The named sections must be there, in one split each, and leave others; one ExpectedError names all problems."""
    problems = []
    for key, names in (("test_sections", split.test_sections), ("validation_sections", split.validation_sections)):
        unknown = [name for name in names if name not in sections]
        problems += [f"{key}: no section is called {name!r}; {suggestion(name, sections)}" for name in unknown]
        repeated = sorted({name for name in names if list(names).count(name) > 1})
        problems += [f"{key}: {name!r} is given twice; remove one" for name in repeated]
    both = [name for name in split.test_sections if name in split.validation_sections]
    problems += [f"{name!r} is both a test and a validation section; remove it from one of them" for name in both]
    if not problems and set(split.test_sections) | set(split.validation_sections) >= set(sections):
        if len(sections) == 1:
            problems.append(
                f"there is one section where two are needed, {sections[0]!r}: to split it by blocks, leave "
                "test_sections and validation_sections empty ([])"
            )
        else:
            problems.append(
                f"no section of {len(sections)} is left to train on; name fewer, or leave test_sections or "
                "validation_sections empty ([]) to split by blocks"
            )
    if problems:
        raise ExpectedError("\n".join([f"{KEY} cannot split the sections:", *(f"  {problem}" for problem in problems)]))


def assign_cells(
    split: SectionSplit,
    places_NS: Coordinates,
    section_N: npt.NDArray[np.integer],
    sections: Sequence[str],
    kept_N: Mask,
) -> Splits:
    """Split of each cell, (N,): an index into SPLITS, DROPPED (not kept) or MARGIN.

    section_N: codes into sections. ExpectedError: names that cannot be used (`check_sections`), a section of too few
    blocks, or a split without a cell.
    """
    check_sections(split, sections)
    split_N = np.full(len(section_N), DROPPED, np.int8)
    for code, section in enumerate(sections):
        rows = np.flatnonzero((section_N == code) & kept_N)
        # Each section has its own generator: the blocks of one do not depend on the others.
        rng = np.random.default_rng([split.seed, code])
        split_N[rows] = _split_section(split, places_NS[rows], section, rng)
    _check_not_empty(split_N)
    return split_N


def block_side(places_NS: Coordinates, blocks_per_side: int) -> float:
    """Side of the blocks of a section: its longest extent by this number, in the unit of the places."""
    return float(np.ptp(places_NS, axis=0).max()) / blocks_per_side


def block_numbers(places_NS: Coordinates, blocks_per_side: int) -> Whole:
    """The block that each cell of one section lies in, (N,): numbers from 0 on, of blocks with a cell in them."""
    side = block_side(places_NS, blocks_per_side)
    grid_NS = ((places_NS - places_NS.min(axis=0)) / side).astype(np.int64)
    np.minimum(grid_NS, blocks_per_side - 1, out=grid_NS)  # the last cell lies on the far edge
    flat_N = np.ravel_multi_index(tuple(grid_NS.T), (blocks_per_side,) * grid_NS.shape[1])
    numbers_N: Whole = np.unique(flat_N, return_inverse=True)[1].astype(np.int64)
    return numbers_N


def leave_margin(places_NS: Coordinates, split_N: Splits, distance: float) -> None:
    """Turn cells of one section into MARGIN where another split's are nearer than `distance`; changes split_N.

    Validation keeps away from test, and training from the test and validation that are left.
    """
    from scipy.spatial import cKDTree  # here: a split by sections does without it

    for split, others in ((VALIDATION, (TEST,)), (TRAIN, (TEST, VALIDATION))):
        rows, foreign = np.flatnonzero(split_N == split), np.isin(split_N, others)
        if distance and len(rows) and foreign.any():
            # Infinite where nothing is nearer than the bound; a cell at that very distance stays.
            nearest, _ = cKDTree(places_NS[foreign]).query(places_NS[rows], distance_upper_bound=distance)
            split_N[rows[nearest < distance]] = MARGIN


def _split_section(split: SectionSplit, places_NS: Coordinates, section: str, rng: np.random.Generator) -> Splits:
    split_N = np.full(len(places_NS), TRAIN, np.int8)
    for whole, number in ((split.test_sections, TEST), (split.validation_sections, VALIDATION)):
        if section in whole:
            split_N[:] = number
            return split_N
    shares = [(TEST, split.test_share)] if not split.test_sections else []
    shares += [(VALIDATION, split.validation_share)] if not split.validation_sections else []
    if not shares:
        return split_N
    block_N = block_numbers(places_NS, split.blocks_per_side)
    size_B = np.bincount(block_N)
    if len(size_B) <= len(shares):
        raise ExpectedError(
            f"section {section!r} has cells in {counted(len(size_B), 'block')}, too few to keep some of them for "
            f"{' and '.join(SPLITS[number] for number, _ in shares)}: raise {KEY}.blocks_per_side in params.yaml, "
            f"which is {split.blocks_per_side}"
        )
    left = rng.permutation(len(size_B)).tolist()
    for position, (number, share) in enumerate(shares):
        spare = len(shares) - position  # blocks that the splits after this one need, one each
        chosen = _blocks_of_about(share * len(places_NS), left, size_B, len(left) - spare)
        split_N[np.isin(block_N, chosen)] = number
        left = [block for block in left if block not in chosen]
    leave_margin(places_NS, split_N, split.margin * block_side(places_NS, split.blocks_per_side))
    return split_N


def _blocks_of_about(cells: float, blocks: Sequence[int], size_B: Whole, most: int) -> list[int]:
    """The first blocks, as many as come nearest to this number of cells: at least 1 and not more than `most`."""
    totals = np.cumsum(size_B[list(blocks)])[:most]
    return list(blocks[: int(np.abs(totals - cells).argmin()) + 1])


def _check_not_empty(split_N: Splits) -> None:
    empty = [name for number, name in enumerate(SPLITS) if not (split_N == number).any()]
    if empty:
        lost = int((split_N == MARGIN).sum())
        raise ExpectedError(
            f"no cells are left for {' and '.join(empty)}, and {counted(lost, 'cell')} in the margin between the "
            f"splits: lower {KEY}.margin, or change blocks_per_side, the shares or the filter's thresholds in "
            "params.yaml"
        )
