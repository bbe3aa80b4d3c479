"""Was the mixture of experts better calibrated? In words that never say more than the intervals carry."""

from typing import Literal

from pipeline.report.moe_inputs import RAW, SCALED, Difference, Moe
from pipeline.report.moe_names import ACCURACY, ECE, Measure, counted, label_of, shape_of, signed
from pipeline.report.scores import decimals_for, shown

Standing = Literal["better", "worse", "unclear"]


def standing(measure: Measure, difference: Difference) -> Standing:
    """Where the sparse point stands: unclear while the interval holds 0."""
    if difference.low <= 0 <= difference.high:
        return "unclear"
    return "better" if (difference.value > 0) == measure.higher_is_better else "worse"


def could_show(moe: Moe) -> str:
    """What the data could have shown a difference with."""
    return f"{counted(moe.pictures, 'test picture')} and {counted(moe.seeds, 'seed')}"


def in_short(moe: Moe) -> str:
    """One sentence for the first screen."""
    before, after = (standing(ECE, moe.differences[moe.chosen, kind, ECE.name]) for kind in (RAW, SCALED))
    words = {"better": "better calibrated than", "worse": "worse calibrated than"}
    who, twin = f"the sparse classifier that validation chose ({label_of(moe.chosen)})", "its dense twin"
    unclear = f"no difference in calibration that {could_show(moe)} could show"
    if before == after == "unclear":
        calibration = f"between {who} and {twin} there is {unclear}, before or after temperature scaling"
    elif before == after:
        calibration = f"{who} is {words[before]} {twin}, before and after temperature scaling"
    elif before == "unclear":
        calibration = f"between {who} and {twin} there is {unclear}; after temperature scaling it is {after} calibrated"
    elif after == "unclear":
        calibration = f"{who} is {words[before]} {twin}; after temperature scaling there is {unclear}"
    else:
        calibration = f"{who} is {words[before]} {twin}, but {after} after temperature scaling"
    accuracy = moe.differences[moe.chosen, RAW, ACCURACY.name]
    said = {
        "better": "It is more accurate",
        "worse": "It is less accurate",
        "unclear": "Accuracy is level within noise",
    }
    numbers = _short_numbers(moe)
    return f"Mixture of experts: {calibration} ({numbers}). {said[standing(ACCURACY, accuracy)]} ({_points(accuracy)})."


def verdict(moe: Moe) -> str:
    """The chosen point against its dense twin: calibration as trained and scaled, and accuracy, with all numbers."""
    kinds = (
        ("As trained", moe.differences[moe.chosen, RAW, ECE.name], RAW),
        ("After temperature scaling", moe.differences[moe.chosen, SCALED, ECE.name], SCALED),
    )
    sentences = [_choice(moe)]
    for when, difference, kind in kinds:
        said = {
            "better": "it is better calibrated than its dense twin",
            "worse": "it is worse calibrated than its dense twin",
            "unclear": f"there is no difference in calibration to its dense twin that {could_show(moe)} could show",
        }[standing(ECE, difference)]
        sentences.append(f"{when}, {said}: {_numbers(moe, ECE, difference, kind)}.")
    accuracy = moe.differences[moe.chosen, RAW, ACCURACY.name]
    said = {
        "better": "It is more accurate",
        "worse": "It is less accurate",
        "unclear": "No difference in accuracy could be shown",
    }[standing(ACCURACY, accuracy)]
    sentences.append(f"{said}: {_numbers(moe, ACCURACY, accuracy, RAW)}.")
    if moe.seeds == 1:
        sentences.append("One seed says nothing of how much another training run would differ.")
    return " ".join(sentences)


def difference_text(difference: Difference, decimals: int) -> str:
    low, high = (signed(bound, decimals) for bound in (difference.low, difference.high))
    return f"{low} to {high}"


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.0005 else f"p = {shown(p, 3)}"


def _choice(moe: Moe) -> str:
    shape, name = shape_of(moe, moe.chosen), label_of(moe.chosen)
    if len(moe.sparse) == 1:
        return f"The one sparse point is {name} ({shape})."
    return f"Of {len(moe.sparse)} sparse points, the validation pictures chose {name} ({shape}; lowest NLL)."


def _numbers(moe: Moe, measure: Measure, difference: Difference, kind: str) -> str:
    means = [moe.spread(point, measure.name, kind).mean for point in (moe.chosen, moe.twin)]
    decimals = decimals_for(means)
    sparse, dense = (shown(mean, decimals) for mean in means)
    return (
        f"{measure.label} {sparse} against {dense} (difference {signed(difference.value, decimals)}, 95 % interval "
        f"{difference_text(difference, decimals)}, {p_text(difference.p)})"
    )


def _short_numbers(moe: Moe) -> str:
    parts = []
    for kind in (RAW, SCALED):
        means = [moe.spread(point, ECE.name, kind).mean for point in (moe.chosen, moe.twin)]
        sparse, dense = (shown(mean, 3) for mean in means)
        parts.append(f"{sparse} against {dense}")
    return f"ECE {parts[0]}, scaled {parts[1]}"


def _points(accuracy: Difference) -> str:
    return f"{signed(100 * accuracy.value, 1)} percentage points"
