"""Scores and points of the sweep as the reader meets them, and numbers in words."""

from pipeline.bayes_moe.report.results import Moe
from pipeline.report.spreads import Measure

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
