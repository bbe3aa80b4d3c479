"""Was the mixture of experts better calibrated? In words that never say more than the intervals carry."""

from typing import Literal

from pipeline.bayes_moe.report.names import ACCURACY, ECE, quoted, shape_of
from pipeline.bayes_moe.report.results import RAW, SCALED, Difference, Moe
from pipeline.report.numbers import counted
from pipeline.report.scores import decimals_for, shown, signed
from pipeline.report.spreads import Measure

Standing = Literal["better", "worse", "unclear"]


def standing(measure: Measure, difference: Difference) -> Standing:
    """Where the sparse point stands: unclear while the interval holds 0."""
    if difference.low <= 0 <= difference.high:
        return "unclear"
    return "better" if (difference.value > 0) == measure.higher_is_better else "worse"


def could_show(moe: Moe) -> str:
    """What the data could have shown a difference with."""
    return f"{counted(moe.pictures, 'test picture')} and {counted(moe.seeds, 'seed')}"


def answer(moe: Moe) -> str:
    """Better calibrated? In a few words."""
    before, after = _standings(moe)
    if before == after:
        words = {"unclear": "No difference in calibration could be shown."}
        return words.get(before, f"{_capital(before)} calibrated, before and after temperature scaling.")
    if after == "unclear":
        return f"{_capital(before)} calibrated as trained; after temperature scaling, no difference could be shown."
    if before == "unclear":
        return f"No difference in calibration could be shown as trained; {after} after temperature scaling."
    return f"{_capital(before)} calibrated as trained, but {after} after temperature scaling."


def verdict(moe: Moe) -> str:
    """The chosen point against its dense twin: calibration as trained and scaled, and accuracy, with all numbers."""
    before, after = _standings(moe)
    raw, scaled = (_numbers(moe, ECE, kind) for kind in (RAW, SCALED))
    sentences = [_choice(moe)]
    said = {
        "better": "it is better calibrated than its dense twin",
        "worse": "it is worse calibrated than its dense twin",
        "unclear": f"there is no difference in calibration to its dense twin that {could_show(moe)} could show",
    }
    if before == after:
        when = "Neither" if before == "unclear" else "Both"
        joint = said[before].replace("there is no", "is there a", 1) if before == "unclear" else said[before]
        link = "nor" if before == "unclear" else "and"
        comma = "" if before == "unclear" else ","
        sentences.append(f"{when} as trained {link} after temperature scaling{comma} {joint}: {raw}; scaled, {scaled}.")
    else:
        sentences.append(f"As trained, {said[before]}: {raw}.")
        sentences.append(f"After temperature scaling, {said[after]}: {scaled}.")
    accuracy = standing(ACCURACY, moe.differences[moe.chosen, RAW, ACCURACY.name])
    said_of_accuracy = {
        "better": "It is more accurate",
        "worse": "It is less accurate",
        "unclear": "Nor could a difference in accuracy be shown"
        if before == after == "unclear"
        else "No difference in accuracy could be shown",
    }
    sentences.append(f"{said_of_accuracy[accuracy]}: {_numbers(moe, ACCURACY, RAW)}.")
    if moe.seeds == 1:
        sentences.append("One seed says nothing of how much another training run would differ.")
    return " ".join(sentences)


def difference_text(difference: Difference, decimals: int) -> str:
    low, high = (signed(bound, decimals) for bound in (difference.low, difference.high))
    return f"{low} to {high}"


def p_text(p: float) -> str:
    return f"p\N{NO-BREAK SPACE}{'<' if p < 0.0005 else '='}\N{NO-BREAK SPACE}{shown(max(p, 0.001), 3)}"


def _choice(moe: Moe) -> str:
    shape, name = shape_of(moe, moe.chosen), quoted(moe.chosen)
    if len(moe.sparse) == 1:
        return f"The one sparse point is {name} ({shape})."
    return f"Of {len(moe.sparse)} sparse points, the validation pictures chose {name} ({shape}; lowest NLL)."


def _numbers(moe: Moe, measure: Measure, kind: str) -> str:
    difference = moe.differences[moe.chosen, kind, measure.name]
    means = [moe.spread(point, measure.name, kind).mean for point in (moe.chosen, moe.twin)]
    decimals = decimals_for(means)
    sparse, dense = (shown(mean, decimals) for mean in means)
    return (
        f"{measure.label} {sparse} against {dense} (difference {signed(difference.value, decimals)}, 95 % interval "
        f"{difference_text(difference, decimals)}, {p_text(difference.p)})"
    )


def _standings(moe: Moe) -> tuple[Standing, Standing]:
    """In calibration, as trained and after temperature scaling."""
    return (
        standing(ECE, moe.differences[moe.chosen, RAW, ECE.name]),
        standing(ECE, moe.differences[moe.chosen, SCALED, ECE.name]),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
