"""Pieces of messages: a number with its noun, names on one line, the name that was meant."""

import difflib
from collections.abc import Iterable, Sequence

LONGEST_QUOTED = 60  # characters within a sentence
LONGEST_LABEL = 200  # characters; names of compounds and genes are shorter, and some are SMILES


def counted(number: int, noun: str) -> str:
    """A number with its noun, as in "1 cell" and "2,000 cells"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def shown(label: object, longest: int = LONGEST_LABEL) -> str:
    """A label on one line: control characters escaped, the middle of a long one left out."""
    text = str(label)
    if len(text) > longest:
        kept = (longest - 3) // 2
        text = f"{text[: longest - 3 - kept]}...{text[-kept:]}"
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def quoted(text: object) -> str:
    """The user's own text, such as a column name, in quotation marks and short enough for a sentence."""
    return f"'{shown(text, LONGEST_QUOTED)}'"


def listed(names: Iterable[object], limit: int = 8) -> str:
    """Names for a message, the first few of many."""
    every = [shown(name) for name in names]
    more = f" and {len(every) - limit:,} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more if every else "none"


def closest(name: str, known: Iterable[str], most: int = 1, likeness: float = 0.6) -> list[str]:
    """Of the known names those most like this one, in whatever case, the likest first; likeness: the least, of 1."""
    by_folded: dict[str, str] = {}
    for one in known:
        by_folded.setdefault(one.casefold(), one)
    found = difflib.get_close_matches(name.casefold(), by_folded, n=most, cutoff=likeness)
    return [by_folded[folded] for folded in found]


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Advice for a name that is not known: the closest one that is; `otherwise`, which lists them, if none is close."""
    close = closest(name, known)
    return f"did you mean {close[0]!r}?" if close else otherwise


def close_to(name: str, known: Iterable[str]) -> str:
    """The end of a piece of advice: the known name closest to this one, if any is close."""
    close = closest(name, known, likeness=0.5)
    return f", perhaps {close[0]!r}" if close else ""


def suggestion(label: str, known: Sequence[str]) -> str:
    """Advice for a label that is not known: those closest to it, or else the first few of all."""
    close = closest(label, known, most=3)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are: {listed(known, 20)}"
