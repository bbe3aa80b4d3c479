"""Did a mixture of linear experts forecast better? In words that never say more than the seeds carry."""

from collections.abc import Mapping

from pipeline.metrics.verdict import Comparison, Standing
from pipeline.mole.glossary import ahead, label_of, listed_horizons
from pipeline.mole.report.board import Board
from pipeline.mole.report.results import Forecasting
from pipeline.report.numbers import counted
from pipeline.report.scores import answer, decimals_for, interval_text, joined, shown
from pipeline.report.spreads import Spread

_WORDS: dict[Standing, str] = {"ahead": "ahead of", "level": "level with", "behind": "behind"}
_TWIN: dict[Standing, str] = {"ahead": "better than", "level": "level with", "behind": "worse than"}


def answer_of(board: Board) -> str:
    """Did it work, in a few words: no stronger than the weakest horizon beside its best baseline."""
    return answer([board.comparison(horizon) for horizon in board.horizons])


def sentences(board: Board) -> str:
    """The choice, how it stands beside the best baseline at each horizon, and beside its dense twin."""
    parts = [_choice(board), *_preference(board), f"By MSE on the test windows it is {_beside_baselines(board)}."]
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
        standings = [one.board.comparison(horizon).standing for horizon in one.board.horizons]
        counts = [(word, standings.count(word)) for word in _WORDS if word in standings]
        said = joined([f"{_WORDS[word]} the best baseline at {number}" for word, number in counts])
        sentences.append(f"On measured {one.study.title}: {said} of {len(standings)} horizons.")
    return " ".join(sentences)


def numbers(board: Board, horizon: int, one: Comparison) -> str:
    """Both errors and their difference: "0.312 ± 0.002 against 0.318 (difference −0.006, 95 % interval ...)"."""
    ours, theirs = (board.spread(horizon, name) for name in (board.choices[horizon].chosen, one.baseline.name))
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
    """Whether validation prefers a ridge to the chosen mixture; nothing where there is no ridge."""
    if not all(choice.ridges for choice in board.choices.values()):
        return []
    preferring = [horizon for horizon, choice in board.choices.items() if choice.preferred != choice.chosen]
    if not preferring:
        return ["Validation prefers it to every ridge at every horizon."]
    where = "every horizon" if len(preferring) == len(board.horizons) else listed_horizons(preferring)
    names = dict.fromkeys(label_of(board.choices[horizon].preferred) for horizon in preferring)
    return [f"Validation prefers the {joined(list(names))} to it at {where}: forecasts there are made with that."]


def _beside_baselines(board: Board) -> str:
    found = {horizon: board.comparison(horizon) for horizon in board.horizons}
    end = {horizon: f" for {one.baseline.label}, {ahead(horizon)} ahead" for horizon, one in found.items()}
    return _by_standing(board, found, _WORDS, "the best baseline", end)


def _beside_twins(board: Board) -> str:
    found = {horizon: board.comparison(horizon, board.choices[horizon].twin) for horizon in board.horizons}
    return _by_standing(board, found, _TWIN, "it", {horizon: f" at {ahead(horizon)}" for horizon in found})


def _by_standing(
    board: Board, found: Mapping[int, Comparison], words: Mapping[Standing, str], other: str, end: Mapping[int, str]
) -> str:
    parts = []
    for standing, word in words.items():
        said = [f"{numbers(board, h, one)}{end[h]}" for h, one in found.items() if one.standing == standing]
        if said:
            parts.append(f"{word} {other} ({'; '.join(said)})")
    return ", but ".join(parts)
