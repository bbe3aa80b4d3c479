"""How the public series of the field are laid out and split, by name; any other series is split by shares.

The loaders of Informer, Autoformer and their successors (Zhou et al. 2021, Wu et al. 2021) split these files by rows in
order of time: the ETT files after 12, 4 and 4 months of 30 days, what comes later being unused; all others after 70 %
and 80 % of their rows, train and test rounded down.
"""

from dataclasses import dataclass

from pipeline.core.wording import close_to, counted, listed, quoted
from pipeline.data.source import Findings
from pipeline.mole.data.series import SPLITS
from pipeline.mole.data.step import Step, told_step

HOUR = 3600
MONTH = 30 * 24 * HOUR
TRAIN, TEST = 0.7, 0.2  # shares of the rows; validation has what is left
FEWEST_ROWS = 10  # so that every split has some


@dataclass(frozen=True)
class Layout:
    """What a file has to be to carry a name."""

    step_seconds: int
    target: str  # the channel that the data set is about, by which a file is known; it is forecast like the others
    channels: int  # that the public file has; another number is noted, not refused
    months: tuple[int, int, int] | None = None  # of 30 days in each split; None: by shares
    even: bool = True  # False: the public file itself has gaps and repeats, which its protocol passes over


LAYOUTS = {
    "etth": Layout(HOUR, "OT", 7, months=(12, 4, 4)),
    "ettm": Layout(HOUR // 4, "OT", 7, months=(12, 4, 4)),
    # 2020-05-12 06:00 is there twice (thuml/Autoformer, issue 173), and 52,696 rows are fewer than the year has.
    "weather": Layout(HOUR // 6, "OT", 21, even=False),
    "electricity": Layout(HOUR, "OT", 321),
    "traffic": Layout(HOUR, "OT", 862),
}


def split_rows(layout: str | None, rows: int) -> dict[str, tuple[int, int]] | None:
    """First row and row after the last of each split; None where there are too few rows for this layout."""
    if rows < rows_needed(layout):
        return None
    sizes = _months(layout)
    if sizes is None:
        train, test = int(rows * TRAIN), int(rows * TEST)  # as published: 0.7 x 90 rows are 62 in floating point
        sizes = (train, rows - train - test, test)
    ends = (sizes[0], sizes[0] + sizes[1], sum(sizes))
    return {name: (end - size, end) for name, size, end in zip(SPLITS, sizes, ends, strict=True)}


def rows_needed(layout: str | None) -> int:
    """The fewest rows that can be split."""
    months = _months(layout)
    return FEWEST_ROWS if months is None else sum(months)


def check_layout(layout: str, key: str, channels: list[str], rows: int, step: Step | None, findings: Findings) -> None:
    """Hold a series against the layout it is said to have; `key` of params.yaml says so. A step of None is unknown."""
    expected = LAYOUTS[layout]
    mend = f"point mole.ingest.path at the file that {key} = {layout} names, or set {key} to null"
    if step is not None and step.seconds != expected.step_seconds:
        fitting = [name for name, other in LAYOUTS.items() if other.step_seconds == step.seconds]
        also = f" (or {' or '.join(fitting)}, of this step)" if fitting else ""
        findings.problem("step of time", step.told(), told_step(expected.step_seconds), mend + also)
    if rows < rows_needed(layout):
        findings.problem("rows", f"{rows:,}", f"{rows_needed(layout):,} or more, which the splits take", mend)
    if expected.target not in channels:
        found = f"none of this name; there are {listed(map(quoted, channels))}{close_to(expected.target, channels)}"
        findings.problem(f"channel {expected.target!r}", found, "the target of this layout", mend)
    if len(channels) != expected.channels:
        number = counted(len(channels), "channel")
        findings.notes.append(f"{number}, where the public file of layout {layout} has {expected.channels:,}")


def _months(layout: str | None) -> tuple[int, int, int] | None:
    """Rows of the three splits where they are months."""
    chosen = LAYOUTS[layout] if layout else None
    if chosen is None or chosen.months is None:
        return None
    train, validation, test = (months * MONTH // chosen.step_seconds for months in chosen.months)
    return train, validation, test
