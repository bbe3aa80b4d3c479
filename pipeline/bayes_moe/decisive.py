"""Which sparse point is compared with its dense twin, and which of its scores decide."""

from pipeline.bayes_moe.glossary import GLOSSARY, RAW, SCALED, in_unit
from pipeline.metrics.scoreboard import Scoreboard
from pipeline.metrics.verdict import Comparison, compare

# Scaled, since temperature scaling costs next to nothing: what counts is the miscalibration that it leaves.
DECISIVE = (("accuracy", RAW), ("nll", SCALED), ("ece", SCALED))


def chosen_on_validation(board: Scoreboard) -> str:
    """The sparse point with the lowest validation NLL, mean over seeds: the test images have no part in the choice."""
    nll = board.metric("validation_nll")
    return min(board.models, key=lambda point: board.estimate(point, nll, RAW).value or 0.0).name


def against_twin(board: Scoreboard, metric: str, unit: str, point: str, twin: str) -> Comparison:
    """A sparse point beside its dense twin."""
    return compare(board, in_unit(GLOSSARY.metric(metric), unit), unit, board.method(point), board.method(twin))


def decisive(board: Scoreboard, chosen: str, twin: str) -> dict[str, Comparison]:
    """The decisive scores of the chosen point by the names of their headlines."""
    names = {metric if unit == RAW else f"{metric}_{unit}": (metric, unit) for metric, unit in DECISIVE}
    return {name: against_twin(board, *score, chosen, twin) for name, score in names.items()}
