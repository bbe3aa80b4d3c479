"""Did the model predict positions and expression? In words that never say more than the numbers."""

from pipeline.alphastomics.decisive import DECISIVE, MODEL, Boards, comparisons, metrics_named
from pipeline.alphastomics.glossary import EXPR_TO_POS, POS_TO_EXPR
from pipeline.alphastomics.report.results import LeftOut, Spatial
from pipeline.metrics.verdict import Comparison, compare
from pipeline.report.headline import tally
from pipeline.report.scores import answer, verdict
from pipeline.report.uncertainty import over_all, within_unit

_ONE_SECTION = (
    "The interval is of a jackknife over 10 blocks of adjacent cells of the section, the same for both methods: it "
    "covers other cells of the same section, not other sections, nor another training run."
)
_SEVERAL_SECTIONS = "Over several sections the interval is by Student's t over the sections' differences"
_WITHIN_ONE = {
    "resamples": (
        ": it covers other sections, not another training run. Within a section it is of a jackknife over 10 blocks of "
        "adjacent cells."
    ),
    "seeds": (
        ", each a mean over seeds: it covers other sections. Within a section it is by Student's t over seeds: it "
        "covers other training runs, not other cells."
    ),
}
_MEASURED = (
    " On measured tissue it is by Student's t: within a section over seeds, over several sections over their means."
)


def interval(spatial: Spatial) -> str:
    """What the intervals of differences are over and cover, in sentences."""
    board = spatial.boards[EXPR_TO_POS]
    if len(board.units) > 1:
        said = _SEVERAL_SECTIONS + _WITHIN_ONE[within_unit(board)]
    elif over_all(board) == "resamples":
        said = _ONE_SECTION
    else:
        blocks = ", each with other blocks held out," if len(spatial.folds) > 1 else ""
        said = (
            f"The interval is by Student's t over seeds: it covers other training runs{blocks} on the same section, "
            "not other sections."
        )
    return said + _MEASURED * bool(spatial.measured)


def decisive_of(boards: Boards) -> list[Comparison]:
    """The decisive comparisons of both tasks."""
    return [one for of_task in comparisons(boards).values() for one in of_task]


def answer_of(spatial: Spatial) -> str:
    """Did it work, in a few words: no stronger than the weakest of all decisive comparisons."""
    return answer(decisive_of(spatial.boards))


def data_of(spatial: Spatial) -> str:
    """Which data it is, and whether it is simulated, as sentences."""
    kind = "Simulated" if spatial.dataset["simulated"] else "Measured"
    bare = str(spatial.dataset["description"]).removeprefix("Simulated: ").rstrip(".")
    return f"{kind} tissue: {bare[:1].lower() + bare[1:] if bare[1:2].islower() else bare}."


def sentences(boards: Boards) -> str:
    """One sentence per task."""
    found = comparisons(boards)
    number = len(boards[EXPR_TO_POS].units)
    where = "the held-out section" if number == 1 else f"the {number} held-out sections"
    model = boards[EXPR_TO_POS].method(MODEL).label
    return " ".join(
        (
            verdict(f"Predicting positions from expression on {where}", model, found[EXPR_TO_POS]),
            verdict("Predicting expression from positions", "it", found[POS_TO_EXPR]),
        )
    )


def lead(spatial: Spatial) -> str:
    """The data, how the model stands, and how broad that is."""
    boards = spatial.boards.values()
    found = [compare(board, m, model=board.method(MODEL)).standing for board in boards for m in board.metrics]
    ahead, level, behind = (found.count(standing) for standing in ("ahead", "level", "behind"))
    said = (
        f"Over all {len(found)} scores of both tasks it is ahead of the best baseline in {ahead}, level in {level} and "
        f"behind in {behind}."
    )
    example = " One held-out section is an example, not a statistic." if len(spatial.sections) == 1 else ""
    return f"{data_of(spatial)} {sentences(spatial.boards)} {said}{example}"


def counts(found: LeftOut) -> str:
    """On how many held-out sections the model is ahead of its best baseline, per decisive score; of a single section,
    how it stands."""
    sections, seeds = len(found.sections), len(found.boards[EXPR_TO_POS].seeds)
    model, repeated = found.boards[EXPR_TO_POS].method(MODEL).label, f"{seeds} seed{'s' * (seeds > 1)}"
    if sections == 1:
        said = tally(decisive_of(found.boards))
        return f"with blocks of its one section held out and {repeated}, {model} is {said}."
    parts = []
    for task, board in found.boards.items():
        for metric in metrics_named(board, DECISIVE[task]):
            standings = [compare(board, metric, section, board.method(MODEL)).standing for section in board.units]
            parts.append(f"on {standings.count('ahead') or 'none'} of {sections} in {metric.label}")
    return (
        f"with each of {sections} sections held out in turn and {repeated}, {model} is ahead of every baseline "
        f"{', '.join(parts[:-1])} and {parts[-1]}."
    )
