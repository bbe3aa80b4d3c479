"""What an obs column is about, guessed from its name and its labels."""

import re
from collections.abc import Collection, Mapping, Sequence

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import listed
from pipeline.data.cell_files import CellFiles, shown_labels
from pipeline.data.columns import Column
from pipeline.params.draft import Draft
from pipeline.params.obs_column import ObsColumn
from pipeline.params.reading import validated

Scores = tuple[tuple[str, int], ...]  # a pattern of a name, in words, and how much it says

CELL_TYPE: Scores = (
    (r"^cell ?types?$", 5),
    (r"cell ?type", 4),
    (r"cell ?(label|class|subclass|ontology|line|identity|annotation)", 3),
    (r"cluster|annotat|ident\b|louvain|leiden|class", 2),
)
SECTION: Scores = (
    (r"^(tissue )?(section|slice)( id| name)?$", 6),
    (r"section|slice|\bfov\b|\bpuck", 5),
    (r"library|sample|batch|\bmouse|animal|donor|patient", 3),
)
BATCH: Scores = (
    (r"\bbatch", 6),
    (r"donor|individual|patient|subject|\bmouse|animal|participant", 5),
    (r"replicate|\brep\b|plate|\brun\b|lane|pool|library|channel|\bgem\b|well", 4),
    (r"sample|orig ident", 3),
)
_CELL_WORDS = re.compile(
    r"\bcells?\b|cytes?\b|blasts?\b|neuron|phages?\b|\bcd\d|\bnk\b|\bp?dc\b|\b[bt]$|astro|oligo|glia|endo|epithel|fibro|mono"
    r"|\btreg|inhibitor|excitator|pyramidal|\bstem\b|progenitor|basal|lumin|hepat|immune",
    re.IGNORECASE,
)
_CONTENT = 3  # what labels that read like cell types add to a name's score
CONTROL = re.compile(
    r"(?<![a-z])(ctrl|ctl|controls?|vehicle|veh|dmso|unstim|unstimulated|untreated|unperturbed|non[-_ ]?targeting|ntc?"
    r"|pbs|mock|sham|scrambled?|no[-_ ]?(drug|treatment|stimulation|perturbation|virus)|resting|baseline"
    r"|wild[-_ ]?type|wt)"
    r"(?![a-z])",
    re.IGNORECASE,
)


def score(name: str, scores: Scores) -> int:
    """How much a column's name says: the score of the first pattern that it has; 0 of none."""
    words = re.sub(r"[^a-z0-9]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()).strip()
    return next((points for pattern, points in scores if re.search(pattern, words)), 0)


def is_word_for_control(label: str) -> bool:
    """Whether a label is such a word, and nothing else."""
    return CONTROL.fullmatch(label.strip()) is not None


def controls_of(labels: Sequence[str]) -> list[str]:
    """The labels that read like a control: those that are a word for it, or else those that hold one.

    None of them where all labels do: a word that every label has tells nothing apart.
    """
    whole = [label for label in labels if is_word_for_control(label)]
    found = whole or [label for label in labels if CONTROL.search(label)]
    return found if len(found) < len(labels) else []


def ranked(cells: CellFiles, scores: Scores, without: Collection[str] = (), fewest: int = 2) -> dict[str, int]:
    """Score of every column whose name says something, the best first."""
    found = {
        name: score(name, scores)
        for name, column in cells.labels.items()
        if name not in without and len(column.labels) >= fewest
    }
    return dict(sorted(((name, points) for name, points in found.items() if points), key=lambda item: -item[1]))


def given_column(draft: Draft, cells: CellFiles, key: str) -> Column | None:
    """The column that the user gave; None for null. ExpectedError where there is no such column, or no label in it."""
    given = draft.decide(key, None, "")
    if given is None:
        return None
    column = cells.column(validated(ObsColumn, given, f"{key} = {given}"), key)
    if not column.labels:
        raise ExpectedError(f"{key} = {given}: it gives no cell a label; values are {listed(column.unmatched, 5)}")
    return column


_NO_TYPES = (
    "no column reads like cell types; where all cells are of one type, add a column that says so to the file, such as "
    "adata.obs['cell_type'] = 'cells'"
)


def decide_cell_type(draft: Draft, cells: CellFiles, key: str, without: Collection[str], needed: bool) -> Column | None:
    """Decide, or ask, which column holds the cell types; the column, if it is known.

    needed: else the key is null where no column reads like cell types.
    """
    if key in draft.given:
        return given_column(draft, cells, key)
    points = ranked(cells, CELL_TYPE, without, fewest=1)
    for name, column in cells.labels.items():
        if name not in without and len(column.labels) > 1 and _like_cell_types(column):
            points[name] = points.get(name, 0) + _CONTENT
    best = [name for name, value in points.items() if value == max(points.values()) and value > 1]
    if len(best) == 1:
        column = cells.labels[best[0]]
        draft.decide(key, best[0], f"reads like cell types, {shown_labels(column)}")
        return column
    if best or needed:
        problem = "several columns read like cell types" if best else _NO_TYPES
        draft.ask(key, problem, candidates(cells, best or [name for name in cells.labels if name not in without]))
    else:
        draft.decide(key, None, "no column reads like cell types")
    return None


def candidates(cells: CellFiles, names: Collection[str], most: int = 8) -> Mapping[str, str]:
    """Columns to choose from, those of few labels first, each with its labels."""
    found = sorted(names, key=lambda name: len(cells.labels[name].labels))[:most]
    return {name: shown_labels(cells.labels[name], 5) for name in found}


def _like_cell_types(column: Column) -> bool:
    """Whether three in ten labels or more do."""
    return sum(bool(_CELL_WORDS.search(label)) for label in column.labels) >= 0.3 * len(column.labels)
