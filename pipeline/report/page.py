"""Building blocks of the page: sections, figures, tables, and the cards of the first screen."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup

if TYPE_CHECKING:  # joining rendered chapters needs no matplotlib
    from pipeline.plots.theme import Picture


@dataclass(frozen=True)
class Figures:
    """A grid of pictures: two (small ones: three) per row on a wide page, one on a phone."""

    pictures: "Sequence[Picture]"
    caption: str
    small: bool = False
    kind: str = "figures"


@dataclass(frozen=True)
class Cell:
    """One cell of a table. `tint` (0 to 1) colours its background; `remark` is small text below.

    `quiet` greys out ceilings and controls; `words`: the remark is prose and may wrap.
    """

    text: str
    best: bool = False
    quiet: bool = False
    tint: float | None = None
    remark: str = ""
    words: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column labels the row, and a row of a single cell is a subheading.

    `numeric` right-aligns all columns but the first.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    numeric: bool = True
    folded: str = ""  # summary line of a table that is folded at first
    kind: str = "table"


@dataclass(frozen=True)
class Facts:
    """Names and values, such as the provenance of a result."""

    entries: Sequence[tuple[str, str]]
    small: bool = False
    kind: str = "facts"


@dataclass(frozen=True)
class Heading:
    """The title of a part of a section."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Drawing:
    """An SVG of this project, inlined so that it takes the page's colours."""

    svg: Markup
    caption: str
    kind: str = "drawing"


@dataclass(frozen=True)
class Notes:
    """Notes needed to read the rest correctly."""

    notes: Sequence[str]
    kind: str = "notes"


Block = Figures | Table | Facts | Heading | Drawing | Notes


@dataclass(frozen=True)
class Section:
    """A question of the report, with its answer, figures and tables."""

    title: str
    anchor: str
    lead: str
    blocks: Sequence[Block]
    answer: str = ""  # the answer in a few words, shown before the lead


@dataclass(frozen=True)
class Part:
    """The part of the page on one system, with its own heading."""

    title: str
    sections: Sequence[Section]


@dataclass(frozen=True)
class Number:
    """A decisive score beside that of the best baseline: "Pearson top 100 ↑", "0.776", "0.734 additive shift",
    "ahead"."""

    label: str
    ours: str
    rival: str
    standing: str  # ahead, level or behind, or another word on the difference


@dataclass(frozen=True)
class System:
    """The card of a system on the first screen."""

    name: str
    question: str
    answer: str  # did it work?
    standing: Literal["ahead", "level", "behind"]  # colour of the answer
    model: str  # label of the first numbers
    rival: str  # label of the second numbers
    numbers: Sequence[Number]
    simulated: bool
    elsewhere: str  # a sentence on other data, or ""
    anchor: str  # anchor of its first section
    study: str = ""  # its title


@dataclass(frozen=True)
class Headline:
    """The first screen: which data are simulated, and a card per system."""

    systems: Sequence[System]
    code: str = ""  # the commit behind it

    @property
    def simulated(self) -> str:
        """A sentence on which systems ran on simulated and which on measured data."""
        named = [(f"{system.name} · {system.study}", system.simulated) for system in self.systems]
        made, real = ([name for name, simulated in named if simulated == is_so] for is_so in (True, False))
        parts = [
            f"Simulated data: {', '.join(made)}." if made else "",
            f"Measured data: {', '.join(real)}." if real else "",
        ]
        return " ".join(part for part in parts if part)


def inline_svg(svg: str) -> Markup:
    """An SVG file's text for inlining. ValueError if it is not SVG, or contains elements that could execute or load
    something."""
    try:
        root = ET.fromstring(svg)  # noqa: S314 - a file of this project, and expat limits entity expansion
    except ET.ParseError as error:
        raise ValueError(f"not well-formed: {error}") from error
    if root.tag != "{http://www.w3.org/2000/svg}svg":
        raise ValueError("not an SVG")
    for element in root.iter():
        active = element.tag.rpartition("}")[2] in {"script", "foreignObject", "image", "use", "a"}
        if active or any(name.startswith("on") for name in element.attrib):
            raise ValueError(f"holds <{element.tag.rpartition('}')[2]}> which could execute or load something")
    return Markup(svg[svg.index("<svg") :])  # noqa: S704 - checked above
