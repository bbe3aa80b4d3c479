"""Scores and points of the sweep as the reader meets them, and numbers in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.moe_inputs import Moe, Spread
from pipeline.report.page import Cell
from pipeline.report.scores import shown


@dataclass(frozen=True)
class Measure:
    """A score of a classifier."""

    name: str
    label: str
    higher_is_better: bool

    @property
    def arrow(self) -> str:
        return "↑" if self.higher_is_better else "↓"

    @property
    def heading(self) -> str:
        return f"{self.label}\N{NO-BREAK SPACE}{self.arrow}"

    def best(self, values: Sequence[float | None]) -> float | None:
        """None where nothing is defined."""
        defined = [value for value in values if value is not None and math.isfinite(value)]
        return (max if self.higher_is_better else min)(defined, default=None)


ACCURACY = Measure("accuracy", "accuracy", True)
NLL = Measure("nll", "NLL", False)
ECE = Measure("ece", "ECE", False)
BRIER = Measure("brier", "Brier", False)
ADAPTIVE = Measure("adaptive_ece", "adaptive ECE", False)
CLASSWISE = Measure("classwise_ece", "class\N{NON-BREAKING HYPHEN}wise ECE", False)
AUROC = Measure("auroc", "AUROC", True)
FPR95 = Measure("fpr95", "FPR95", False)

DEFINITIONS = (
    (
        "Sparse, dense",
        "A sparse classifier has several small feed-forward networks, the experts, of which a gate picks a few for "
        "each picture. Its dense twin is trained alike but has one network in their place, which every picture goes "
        "through; the table has the size of both.",
    ),
    (
        "Calibrated",
        "Of all answers given with a probability of 80 %, 80 % are right; and so for every other probability.",
    ),
    (
        "ECE",
        "Expected calibration error: answers are sorted into bins by the probability of the answer given; in each the "
        "mean probability is compared with the share of right answers. The mean gap, weighted by the size of the bins; "
        "0 is perfect. Adaptive: bins of equal size. Class-wise: the mean over classes of the same for p(class).",
    ),
    ("NLL", "Negative log-likelihood: mean of \N{MINUS SIGN}log p(right class), in nats."),
    ("Brier", "Mean over pictures of the squared distance between the probabilities and the right answer; 0 to 2."),
    (
        "Temperature scaling",
        "All logits of a trained classifier are divided by one number, chosen on validation pictures. It changes how "
        "sure the classifier is, and never which class it names.",
    ),
    ("FLOPs", "Arithmetic operations per picture; a multiply-add counts as two. Activated: with the experts asked."),
    (
        "Interval, p",
        "Interval: bootstrap over test pictures and seeds, both classifiers always asked the same. p: a permutation "
        "test that swaps their answers to single pictures; it takes the seeds as given and so finds a difference "
        "sooner. “Better” and “worse” are said only where the interval excludes 0.",
    ),
)


def label_of(point: str) -> str:
    return point.replace("_", " ")


def quoted(point: str) -> str:
    """A point's name within a sentence, where "dense" or "top 1" alone would read as words."""
    return f"“{label_of(point)}”"


def shape_of(moe: Moe, point: str) -> str:
    """How many experts, and how many of them a picture is given to."""
    return f"{moe.number_of_experts(point)} experts, {moe.number(point, 'top_k'):.0f} active"


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 seed", "3 seeds"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def amount(number: float) -> str:
    """A large number for reading: three significant digits and k, M, G or T."""
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * factor:
            value = number / factor
            return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value)) + 1e-3))}f}\N{NO-BREAK SPACE}{unit}"
    return f"{number:g}"


def signed(value: float, decimals: int) -> str:
    """With its sign, also where that is plus; zero has none."""
    text = shown(value, decimals)
    return f"+{text}" if value > 0 and float(text) else text


def spread_cell(found: Spread, decimals: int, best: float | None = None, quiet: bool = False) -> Cell:
    """A mean with the standard deviation over seeds below it."""
    remark = "" if found.deviation is None else f"± {shown(found.deviation, decimals)}"
    return Cell(shown(found.mean, decimals), best=best is not None and found.mean == best, remark=remark, quiet=quiet)
