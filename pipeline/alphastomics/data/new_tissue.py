"""New cells as sections of tissue: their sections, positions, and the frames of their coordinates.

N: new cells, S: spatial dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted, listed
from pipeline.data.cells import Places
from pipeline.data.coordinates import Frame
from pipeline.data.new_cells import NewCells
from pipeline.data.obs_annotations import labels_in, places_in
from pipeline.data.positions import repeats
from pipeline.data.source import cell_numbers


@dataclass(frozen=True)
class NewSection:
    """The new cells of one section."""

    name: str | None  # None where not given: then all cells are one section
    rows: npt.NDArray[np.int64]  # ascending


def new_sections(new: NewCells, column: str | None) -> list[NewSection]:
    """The sections by a column of obs, ordered by name; None: one.

    ExpectedError: no such column, a cell without a label in it, or a section of one cell.
    """
    if column is None:
        sections = [NewSection(None, np.arange(len(new.obs)))]
    else:
        label_N = labels_in(new, column)
        lost = np.flatnonzero(label_N == "")
        if len(lost):
            raise ExpectedError(
                f"{new.where}: {counted(len(lost), 'cell')} without a section in obs column {column!r}, such as "
                f"{cell_numbers(lost)}: leave them out, or name the section they belong to"
            )
        sections = [NewSection(str(name), np.flatnonzero(label_N == name)) for name in np.unique(label_N.astype(str))]
    lone = [section.name or "the only one" for section in sections if len(section.rows) < 2]
    if lone:
        raise ExpectedError(
            f"{new.where}: {counted(len(lone), 'section')} of one cell ({listed(lone, 5)}): a section has 2 or more"
        )
    return sections


def framed_places(
    new: NewCells, key: str, dimensions: int, sections: list[NewSection], known: Mapping[str, Frame]
) -> Places:
    """The positions (N, S) in obsm, each section in its own frame, as in training; one that is known by name in the
    frame it was trained in, so that a part of it lies where it did.

    ExpectedError: no such array, other dimensions than the model's, a coordinate that is not finite, or two cells of a
    section at one position.
    """
    places_NS = places_in(new, key, dimensions)
    section_N = np.empty(len(places_NS), np.int64)
    for number, section in enumerate(sections):
        section_N[section.rows] = number
    repeated = repeats(places_NS, section_N)
    if len(repeated):
        raise ExpectedError(
            f"{new.where}: {counted(len(repeated), 'cell')} in the place of another cell of the same section in obsm "
            f"{key!r}, such as {cell_numbers(repeated)}: remove duplicated cells, or name an obs column "
            "with the sections"
        )
    framed_NS = np.empty(places_NS.shape, np.float32)
    for section in sections:
        frame = known.get(section.name or "") or Frame.of_section(places_NS[section.rows], section.name or "")
        framed_NS[section.rows] = frame.scaled(places_NS[section.rows])
    return framed_NS


def training_frames(sections: list[NewSection], trained: Mapping[str, Frame]) -> tuple[list[Frame], list[str]]:
    """The frame for the predicted positions of each section, and notes on it.

    A section that the model was trained on gets its own. Any other gets their mean scale, around 0: the model learns
    the size of a tissue, not its position on the slide.
    """
    scales = [frame.scale for frame in trained.values()]
    dimensions = next(iter(trained.values())).dimensions
    mean = Frame(dimensions, [0.0] * dimensions, float(np.mean(scales)))
    frames = [trained.get(section.name or "", mean) for section in sections]
    notes = []
    known = [section.name for section in sections if section.name in trained]
    if known:
        notes.append(f"placed where they lay in training: section {listed(known, 5)}")
    others = [section.name for section in sections if section.name not in trained]
    if others:
        which = "the cells" if others == [None] else f"section {listed(others, 5)}"
        spread = f", {min(scales):.4g} to {max(scales):.4g}" if len(scales) > 1 else ""
        notes.append(
            f"not trained on, so placed around 0, in the unit of the training sections and at their mean scale "
            f"({mean.scale:.4g} of {counted(len(scales), 'section')}{spread}): {which}"
        )
    return frames, notes
