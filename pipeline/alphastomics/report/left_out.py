"""The chapter on measured tissue: each section held out in turn, and what each part of the model adds."""

import math

from pipeline.alphastomics.decisive import DECISIVE, metrics_named
from pipeline.alphastomics.report.results import LeftOut, Spatial
from pipeline.alphastomics.report.tables import main_table, rankings, section_table
from pipeline.alphastomics.report.verdict import counts, sentences
from pipeline.metrics.glossary import Metric
from pipeline.metrics.mean_interval import mean_interval
from pipeline.plots.differences import DifferenceRow, Interval, draw_differences
from pipeline.report.origin import origin
from pipeline.report.page import Block, Cell, Facts, Figures, Heading, Section, Table
from pipeline.report.scores import decimals_for, joined, signed

ANCHOR = "leave-section-out"
WITH_WITHOUT = "with \N{MINUS SIGN} without"
_DOTS = "Small dots: one held-out section and seed each; large dots: means. Hollow: the negative control."
_REFERENCE = "reference"
_MOST_DRAWN = 3  # scores of the ablation
_PARTS = {  # of the model, by the variant that lacks it
    "unmasked": "masked training",
    "plain_attention": "gated attention",
    "dense": "mixture of experts",
}

_PLURAL = {"helps": "help", "harms": "harm", "shows no difference": "show no difference"}

Gain = tuple[float, float, float, int]  # mean difference, its interval, and of how many pairs


def left_out(spatial: Spatial) -> Section:
    """A part per measured data set."""
    said = " ".join(f"{found.study.name}: {counts(found)}" for found in spatial.measured)
    return Section("Leave one section out", ANCHOR, said, [b for found in spatial.measured for b in _data_set(found)])


def tables_of(found: LeftOut) -> list[Table]:
    """The decisive scores of each section, and the ablation."""
    tables = [
        section_table(board, metric)
        for task, board in found.boards.items()
        for metric in metrics_named(board, DECISIVE[task])
    ]
    return [*tables, *([ablation_table(found)] if len(found.ablation) else [])]


def gains(found: LeftOut, metric: Metric) -> dict[str, Gain]:
    """By variant: what the reference scores more than it, in pairs of one section and seed.

    Pairs that lack either side are left out, and so are variants without a pair.
    """
    rows = found.ablation[found.ablation["metric"] == metric.name]
    by_pair = rows.pivot_table(index=["section", "seed"], columns="variant", values="value", sort=False)
    if _REFERENCE not in by_pair:
        return {}
    differences = {
        str(variant): (by_pair[_REFERENCE] - by_pair[variant]).dropna().tolist()
        for variant in found.ablation["variant"].unique()
        if variant != _REFERENCE and variant in by_pair
    }
    return {v: (*mean_interval(values), len(values)) for v, values in differences.items() if values}


def ablation_table(found: LeftOut) -> Table:
    """A row per score, a column per part of the model: with it minus without it."""
    variants = [str(v) for v in found.ablation["variant"].unique() if v != _REFERENCE]
    rows, pairs = [], 0
    for metric in _ablated(found):
        of = gains(found, metric)
        decimals = min(4, 1 + decimals_for([one[0] for one in of.values()]))
        rows.append([Cell(metric.heading), *(_gain_cell(metric, of.get(variant), decimals) for variant in variants)])
        pairs = max([pairs, *(one[3] for one in of.values())])
    caption = (
        f"Mean difference of {pairs} pairs, each of one held-out section and one seed, with its 95 % interval "
        "(Student's t); ▸ and bold mark where the part helps and the interval excludes 0. Pairs share sections and "
        "seeds, so the intervals are rather too narrow."
    )
    return Table([WITH_WITHOUT, *map(_part, variants)], rows, caption)


def in_words(found: LeftOut) -> str:
    """Which parts help, harm or show no difference, in the scores of the ablation; those alike in one sentence."""
    alike: dict[str, list[str]] = {}
    for metric in _ablated(found):
        by_word: dict[str, list[str]] = {}
        for variant, (_, low, high, _) in gains(found, metric).items():
            by_word.setdefault(_effect(metric, low, high), []).append(_part(variant))
        parts = [f"{joined(names)} {word if len(names) == 1 else _PLURAL[word]}" for word, names in by_word.items()]
        if parts:
            alike.setdefault("; ".join(parts), []).append(metric.label)
    return " ".join(f"In {joined(metrics)}, {parts}." for parts, metrics in alike.items())


def _data_set(found: LeftOut) -> list[Block]:
    study = found.study
    said = [("Data", f"{study.title}. {study.description}."), ("On average", sentences(found.boards))]
    blocks: list[Block] = [Heading(study.name), Facts(said)]
    for task, board in found.boards.items():
        blocks += [rankings(board, task, _DOTS), main_table(board, task)]
        decisive = metrics_named(board, DECISIVE[task]) if len(board.units) > 1 else []
        blocks += [section_table(board, metric, folded=True) for metric in decisive]
    blocks += _ablation(found)
    return [*blocks, Facts(origin(study.about), small=True)]


def _ablation(found: LeftOut) -> list[Block]:
    if not len(found.ablation):
        return [Facts([("Ablation", "Not measured on these data.")])]
    pictures = []
    for metric in _ablated(found)[:_MOST_DRAWN]:
        of = gains(found, metric)
        decimals = min(4, 1 + decimals_for([one[0] for one in of.values()]))
        rows = [_row(_part(variant), one, decimals) for variant, one in of.items()]
        pictures.append(draw_differences(metric.label, not metric.higher_is_better, rows, WITH_WITHOUT))
    caption = (
        "The model with a part minus the same model without it, trained alike: mean over sections and seeds, and 95 % "
        "interval. An interval that holds 0 shows no difference; on the tinted side the part helps. "
        f"{in_words(found)}"
    )
    return [Heading("What each part adds"), Figures(pictures, caption, small=True), ablation_table(found)]


def _row(label: str, gain: Gain, decimals: int) -> DifferenceRow:
    value, low, high, _ = gain
    bounds = (low, high) if math.isfinite(low) else (value, value)  # a single pair has no interval
    return DifferenceRow(label, low > 0 or high < 0, [Interval(value, *bounds, True)], signed(value, decimals))


def _ablated(found: LeftOut) -> list[Metric]:
    """The scores of the ablation, the decisive ones first."""
    present = set(found.ablation["metric"])
    every = [metric for board in found.boards.values() for metric in board.metrics if metric.name in present]
    return sorted(every, key=lambda metric: not any(metric.name in names for names in DECISIVE.values()))


def _part(variant: str) -> str:
    """The part of the model that this variant lacks."""
    return _PARTS.get(variant, f"not {variant.replace('_', ' ')}")


def _gain_cell(metric: Metric, gain: Gain | None, decimals: int) -> Cell:
    if gain is None:
        return Cell("not measured")
    value, low, high, _ = gain
    spread = f"{signed(low, decimals)} to {signed(high, decimals)}" if math.isfinite(low) else "one pair"
    return Cell(signed(value, decimals), best=_effect(metric, low, high) == "helps", remark=spread)


def _effect(metric: Metric, low: float, high: float) -> str:
    if low <= 0 <= high:
        return "shows no difference"
    return "helps" if (low > 0) == metric.higher_is_better else "harms"
