"""Did a mixture of linear experts forecast better? In words that never say more than the seeds carry."""

import math
from collections.abc import Mapping, Sequence

from pipeline.core.wording import counted
from pipeline.metrics.verdict import Comparison, Standing
from pipeline.mole.data.ridge_choice import RIDGES
from pipeline.mole.glossary import ahead, label_of, listed_horizons
from pipeline.mole.metrics.gain import Gain
from pipeline.mole.report.board import Board
from pipeline.mole.report.results import Forecasting
from pipeline.report.scores import answer, decimals_for, interval_text, joined, shown, signed
from pipeline.report.spreads import Spread

_WORDS: dict[Standing, str] = {"ahead": "ahead of", "level": "level with", "behind": "behind"}
_TWIN: dict[Standing, str] = {"ahead": "better than", "level": "level with", "behind": "worse than"}


def answer_of(board: Board) -> str:
    """Did it work, in a few words: no stronger than the weakest horizon beside its best baseline."""
    return answer([board.used(horizon) for horizon in board.horizons])


def sentences(board: Board) -> str:
    """The choice, why it fell so, how what is used stands beside the best baseline at each horizon, and the mixture
    beside its dense twin."""
    given_up = [horizon for horizon, choice in board.choices.items() if choice.preferred != choice.chosen]
    it = "what is used" if given_up else "it"
    parts = [_choice(board), *_preference(board), f"By MSE on the test windows {it} is {_beside_baselines(board)}."]
    if given_up:
        found = {horizon: board.comparison(horizon, board.rival(horizon)) for horizon in given_up}
        standing = _by_standing(board, found, _WORDS, _BEST, _whose(found))
        parts.append(f"The mixture that is not used would be {standing}.")
    parts.append(f"Its dense twin, the same backbone without experts: the mixture is {_beside_twins(board)}.")
    parts.append(
        "Intervals cover other stretches of the series where the test rows hold two horizons or more, else other "
        "trainings."
    )
    if board.seeds == 1:
        parts.append("One seed says nothing of how much another training run would differ.")
    return " ".join(parts)


def verdict(found: Forecasting) -> str:
    return f"{data_of(found)} {sentences(found.board)}"


def data_of(found: Forecasting) -> str:
    """Which series it is, and whether it is simulated, as a sentence."""
    kind = "Simulated" if found.source["simulated"] else "Measured"
    bare = str(found.source["description"]).removeprefix("Simulated: ").rstrip(".")
    step = found.step.told()
    return f"{kind} series: {bare}. A step is {step}."


def on_measured(found: Forecasting) -> str:
    """A sentence on each measured series, for the first screen."""
    sentences = []
    for one in found.measured:
        standings = [one.board.used(horizon).standing for horizon in one.board.horizons]
        counts = [(word, standings.count(word)) for word in _WORDS if word in standings]
        said = joined([f"{_WORDS[word]} the best baseline at {number}" for word, number in counts])
        sentences.append(f"On measured {one.study.title}: {said} of {len(standings)} horizons.")
    return " ".join(sentences)


def numbers(board: Board, horizon: int, one: Comparison, ours_is: str) -> str:
    """Both errors and their difference: "0.312 ± 0.002 against 0.318 (difference −0.006, 95 % interval ...)"."""
    ours, theirs = (board.spread(horizon, name) for name in (ours_is, one.baseline.name))
    decimals = error_decimals(board, horizon)
    said = interval_text(one, decimals).removeprefix("; ")
    return f"{with_spread(ours, decimals)} against {with_spread(theirs, decimals)}" + (f" ({said})" if said else "")


def with_spread(found: Spread, decimals: int) -> str:
    spread = f" ± {shown(found.deviation, decimals)}" if found.deviation else ""
    return f"{shown(found.mean, decimals)}{spread}"


def error_decimals(board: Board, horizon: int) -> int:
    """One more than three digits."""
    names = (board.choices[horizon].chosen, board.rival(horizon))
    return min(5, decimals_for([board.mean(horizon, name) for name in names]) + 1)


def _choice(board: Board) -> str:
    mixtures = len(board.models)
    by_name: dict[str, list[int]] = {}
    for horizon in board.horizons:
        by_name.setdefault(board.choices[horizon].chosen, []).append(horizon)
    chosen = [
        label_of(name) if len(by_name) == 1 else f"{label_of(name)} for {listed_horizons(horizons)}"
        for name, horizons in by_name.items()
    ]
    return f"Of the mixtures among {counted(mixtures, 'model')}, validation windows chose {joined(chosen)}."


def _preference(board: Board) -> list[str]:
    """What forecasts are made with, and why; nothing where there is no ridge."""
    if not all(choice.gains for choice in board.choices.values()):
        return []
    used: dict[str, list[int]] = {}
    for horizon, choice in board.choices.items():
        used.setdefault(choice.preferred, []).append(horizon)
    parts = []
    for name, horizons in used.items():
        where = "every horizon" if len(used) == 1 else listed_horizons(horizons)
        parts.append(f"{_the(name)} at {where}{_gains(board, name, horizons)}")
    origins = len(next(iter(board.choices[board.horizons[0]].origins.values())))
    rule = (
        "The ridge is used unless another gains over it on validation rows that had no part in its choices, by more "
        f"than the standard error over {counted(origins, 'origin')}"
    )
    if origins == 1:
        rule += ", and of a single one there is none"
    return [f"{rule}. So forecasts are made with {joined(parts)}."]


def _gains(board: Board, used: str, horizons: Sequence[int]) -> str:
    """In brackets, the gain of what is used, and of the mixture where it is not."""
    said = [
        ("" if name == used else f"{label_of(name)} ")
        + f"{gain_in_words(board.choices[horizon].gains[name])} at {ahead(horizon)}"
        for horizon in horizons
        for name in dict.fromkeys((used, board.choices[horizon].chosen))
        if name in board.choices[horizon].gains
    ]
    return f" ({'; '.join(said)})" if said else ""


def gain_in_words(found: Gain) -> str:
    """ "+1.9 ± 0.8 %"."""
    error = f" ± {shown(100 * found.error, 1)}" if math.isfinite(found.error) else ""
    return f"{signed(100 * found.share, 1)}{error} %"


def _the(name: str) -> str:
    return f"the {label_of(name)}" if name in RIDGES else label_of(name)


_BEST = "the best baseline"


def _whose(found: Mapping[int, Comparison]) -> dict[int, str]:
    return {horizon: f" for {one.baseline.label}, {ahead(horizon)} ahead" for horizon, one in found.items()}


def _beside_baselines(board: Board) -> str:
    found = {horizon: board.used(horizon) for horizon in board.horizons}
    itself = [horizon for horizon, one in found.items() if board.choices[horizon].preferred == one.baseline.name]
    others = {horizon: one for horizon, one in found.items() if horizon not in itself}
    parts = [_by_standing(board, others, _WORDS, _BEST, _whose(others), used=True)] if others else []
    if itself:
        said = [
            f"{numbers(board, h, found[h], found[h].baseline.name).partition(' against')[0]}, {ahead(h)} ahead"
            for h in itself
        ]
        parts.append(f"{_BEST} itself ({'; '.join(said)})")
    return ", but ".join(parts)


def _beside_twins(board: Board) -> str:
    found = {horizon: board.comparison(horizon, board.choices[horizon].twin) for horizon in board.horizons}
    return _by_standing(board, found, _TWIN, "it", {horizon: f" at {ahead(horizon)}" for horizon in found})


def _by_standing(
    board: Board,
    found: Mapping[int, Comparison],
    words: Mapping[Standing, str],
    other: str,
    end: Mapping[int, str],
    used: bool = False,
) -> str:
    """used: of what forecasts are made with, and not of the chosen mixture."""
    parts = []
    for standing, word in words.items():
        of = {h: one for h, one in found.items() if one.standing == standing}
        ours = {h: board.choices[h].preferred if used else board.choices[h].chosen for h in of}
        said = [f"{numbers(board, h, one, ours[h])}{end[h]}" for h, one in of.items()]
        if said:
            parts.append(f"{word} {other} ({'; '.join(said)})")
    return ", but ".join(parts)
