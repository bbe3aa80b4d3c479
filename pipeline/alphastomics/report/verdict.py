"""Did the model find where cells lie, and what is expressed where? In words that never say more than the numbers."""

from pipeline.alphastomics.report.board import Board
from pipeline.alphastomics.report.names import EXPR_TO_POS, MODES, POS_TO_EXPR, method_named
from pipeline.alphastomics.report.results import LeftOut, Spatial
from pipeline.metrics.verdict import Comparison
from pipeline.report.scores import answer, verdict

_MODEL = method_named("model").label


def comparisons(board: Board, section: str | None = None) -> dict[str, list[Comparison]]:
    """The decisive ones of each mode."""
    return {mode: [board.comparison(mode, m, section) for m in board.decisive(mode)] for mode in MODES}


def answer_of(spatial: Spatial) -> str:
    """Did it work, in a few words: no stronger than the weakest of all decisive comparisons."""
    return answer([one for of_mode in comparisons(spatial.board).values() for one in of_mode])


def data_of(spatial: Spatial) -> str:
    """Which data it is, and whether it is simulated, as sentences."""
    kind = "Simulated" if spatial.dataset["simulated"] else "Measured"
    bare = str(spatial.dataset["description"]).removeprefix("Simulated: ").rstrip(".")
    return f"{kind} tissue: {bare[:1].lower() + bare[1:] if bare[1:2].islower() else bare}."


def sentences(board: Board) -> str:
    """One sentence per mode."""
    found = comparisons(board)
    number = len(board.sections)
    where = "the held-out section" if number == 1 else f"the {number} held-out sections"
    return " ".join(
        (
            verdict(f"Placing the cells of {where} by their expression", _MODEL, found[EXPR_TO_POS]),
            verdict("Telling expression at known places", "it", found[POS_TO_EXPR]),
        )
    )


def breadth(board: Board) -> str:
    """How it stands over all scores, not only the decisive ones."""
    found = [board.comparison(mode, metric).standing for mode in MODES for metric in board.metrics(mode)]
    ahead, level, behind = (found.count(standing) for standing in ("ahead", "level", "behind"))
    return (
        f"Over all {len(found)} scores of both tasks it is ahead of the best baseline in {ahead}, level in {level} and "
        f"behind in {behind}."
    )


def lead(spatial: Spatial) -> str:
    return f"{data_of(spatial)} {sentences(spatial.board)} {breadth(spatial.board)}"


def counts(found: LeftOut) -> str:
    """On how many held-out sections the model is ahead of all baselines, per decisive score."""
    board = found.board
    sections, seeds = len(board.sections), len(board.seeds)
    parts = []
    for mode in MODES:
        for metric in board.decisive(mode):
            ahead = sum(board.comparison(mode, metric, section).standing == "ahead" for section in board.sections)
            parts.append(f"on {ahead or 'none'} of {sections} in {metric.label}")
    held_out = f"each of {sections} sections held out in turn" if sections > 1 else "its one section held out in parts"
    return (
        f"with {held_out} and {seeds} seed{'s' * (seeds > 1)}, {_MODEL} is ahead of "
        f"every baseline {', '.join(parts[:-1])} and {parts[-1]}."
    )
