"""Are sparse experts as accurate as their dense twin, and better calibrated? No stronger than the intervals."""

from pipeline.bayes_moe.report.results import Moe
from pipeline.core.wording import counted
from pipeline.report.scores import verdict

INTERVAL = (
    "The interval is by Student's distribution and the spread over test images and seeds, the same for both "
    "classifiers: it covers other images and another training run. Several points and scores are compared: where there "
    "is no difference, about one interval in twenty excludes 0, and on another processor, whose rounding makes other "
    "networks of the same seeds, another one may."
)


def lead(moe: Moe) -> str:
    """The chosen point against its dense twin: the decisive scores, and ECE as trained."""
    name = moe.quoted(moe.chosen)
    shape = f"{moe.number_of_experts(moe.chosen)} experts, {moe.number(moe.chosen, 'top_k'):.0f} active"
    chosen = (
        f"The one sparse point is {name} ({shape})."
        if len(moe.sparse) == 1
        else f"Of {len(moe.sparse)} sparse points, {name} ({shape}) has the lowest NLL on the validation images."
    )
    where = f"On {counted(moe.images, 'test image')} and {counted(moe.seeds, 'seed')}"
    said = verdict(where, "it", moe.decisive, rival="its dense twin")
    raw = verdict("Before temperature scaling", "it", [moe.against_twin(moe.chosen, "ece")], rival="its dense twin")
    single = " One seed says nothing about how much another training run would differ." if moe.seeds == 1 else ""
    return f"{chosen} {said} {raw}{single}"
