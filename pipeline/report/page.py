"""What the page is made of: sections of text, figures and tables, and what the first screen says of each system."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup

if TYPE_CHECKING:  # a page is joined from drawn chapters without matplotlib
    from pipeline.plots.theme import Picture


@dataclass(frozen=True)
class Figures:
    """Pictures in a grid: two (small ones: three) beside each other on a wide page, below each other on a phone."""

    pictures: "Sequence[Picture]"
    caption: str
    small: bool = False
    kind: str = "figures"


@dataclass(frozen=True)
class Cell:
    """One cell of a table. `tint` (0 to 1) colours its background; `remark` stands below its text, smaller.

    `quiet` sets apart what does not compete; `words`: a remark of words, which may take several lines.
    """

    text: str
    best: bool = False
    quiet: bool = False
    tint: float | None = None
    remark: str = ""
    words: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column names the row, and a row of one cell those below it.

    `numeric` aligns all columns but the first to the right.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    numeric: bool = True
    folded: str = ""  # the line that unfolds the table, where it is not shown at once
    kind: str = "table"


@dataclass(frozen=True)
class Facts:
    """Names and values, such as where a result comes from."""

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
    """An SVG of the project's own, put into the page itself so that it takes the page's colours."""

    svg: Markup
    caption: str
    kind: str = "drawing"


@dataclass(frozen=True)
class Notes:
    """What has to be known to read the rest rightly."""

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
    answer: str = ""  # the lead in a few words, before it


@dataclass(frozen=True)
class Part:
    """What the page says of one system, below its own heading."""

    title: str
    sections: Sequence[Section]


@dataclass(frozen=True)
class Number:
    """A decisive number beside what it has to beat: "Pearson top 100 ↑", "0.776", "0.734 additive shift", "ahead"."""

    label: str
    ours: str
    rival: str
    standing: str  # ahead, level or behind, or what else is said of the difference


@dataclass(frozen=True)
class System:
    """What the first screen says of one system; every system gives one, and all look alike there."""

    name: str
    question: str
    answer: str  # did it work, in a few words
    standing: Literal["ahead", "level", "behind"]  # how the answer is marked
    model: str  # what the first numbers are of
    rival: str  # and the second ones
    numbers: Sequence[Number]
    simulated: bool
    elsewhere: str  # what other data say, or ""
    anchor: str  # its first chapter


@dataclass(frozen=True)
class Headline:
    """The first screen: which data is simulated, and for every system whether it worked."""

    systems: Sequence[System]
    code: str = ""  # which commit made it

    @property
    def simulated(self) -> str:
        """Which systems ran on simulated data, and which on measured data."""
        made, real = ([system.name for system in self.systems if system.simulated == is_so] for is_so in (True, False))
        parts = [
            f"Simulated data: {', '.join(made)}." if made else "",
            f"Measured data: {', '.join(real)}." if real else "",
        ]
        return " ".join(part for part in parts if part)


def inline_svg(svg: str) -> Markup:
    """An SVG file's text for use inside the page. ValueError where it is not one, or holds what could run or load."""
    try:
        root = ET.fromstring(svg)  # noqa: S314 - a file of the project's own, and expat limits entity expansion
    except ET.ParseError as error:
        raise ValueError(f"not well-formed: {error}") from error
    if root.tag != "{http://www.w3.org/2000/svg}svg":
        raise ValueError("not an SVG")
    for element in root.iter():
        active = element.tag.rpartition("}")[2] in {"script", "foreignObject", "image", "use", "a"}
        if active or any(name.startswith("on") for name in element.attrib):
            raise ValueError(f"holds <{element.tag.rpartition('}')[2]}> that could run or load something")
    return Markup(svg[svg.index("<svg") :])  # noqa: S704 - checked above
