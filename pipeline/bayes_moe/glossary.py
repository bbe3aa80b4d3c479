"""The scores of image classifiers as data. `pipeline/bayes_moe/metrics/` has the formulas and their sources.

A score is of a unit: raw, of the logits as they are, or scaled, of the logits divided by the temperature.
"""

from dataclasses import replace
from math import inf

from pipeline.metrics.glossary import Glossary, Metric

RAW, SCALED = "raw", "scaled"
CONFIDENCE = "confidence"  # the score to abstain by that others are compared with
_SHARE, _POSITIVE = (0.0, 1.0), (0.0, inf)

GLOSSARY = Glossary(
    metrics=(
        Metric("accuracy", "accuracy", True, "Share of images whose most probable class is the right one.", "", _SHARE),
        Metric("nll", "NLL", False, "Negative log-likelihood: mean of −log p(right class).", "nats", _POSITIVE),  # noqa: RUF001
        Metric(
            "brier",
            "Brier",
            False,
            "Mean over images of the squared distance between the probabilities and the right answer; 0 to 2.",
            bounds=(0.0, 2.0),
        ),
        Metric(
            "ece",
            "ECE",
            False,
            "Expected calibration error: images are binned by confidence, the probability of the predicted class; in "
            "each bin the mean confidence is compared with the accuracy. Mean gap, weighted by the size of the bins.",
            bounds=_SHARE,
        ),
        Metric("adaptive_ece", "adaptive ECE", False, "ECE over bins that hold equally many images.", "", _SHARE),
        Metric(
            "classwise_ece",
            "class\N{NON-BREAKING HYPHEN}wise ECE",
            False,
            "The same gap for the probability of each class, mean over classes.",
            bounds=_SHARE,
        ),
        Metric("validation_nll", "NLL, validation", False, "NLL on the validation images.", "nats", _POSITIVE),
        Metric("corrupted_accuracy", "accuracy, corrupted", True, bounds=_SHARE),
        Metric("corrupted_nll", "NLL, corrupted", False, bounds=_POSITIVE),
        Metric("corrupted_ece", "ECE, corrupted", False, bounds=_SHARE),
        Metric(
            "auroc",
            "AUROC",
            True,
            "Probability that a test image gets more confidence than an out-of-distribution one; 0.5 is chance.",
            bounds=_SHARE,
            chance=0.5,
        ),
        Metric(
            "fpr95",
            "FPR95",
            False,
            "Share of out-of-distribution images with at least the confidence that 95 % of the test images reach.",
            bounds=_SHARE,
        ),
        Metric(
            "aurc",
            "AURC",
            False,
            "Area under the curve of risk against coverage: the error rate among the most confident images, mean over "
            "all shares of them. The error rate itself where confidence says nothing.",
            bounds=_SHARE,
        ),
        Metric(
            "least_used",
            "least used expert",
            True,
            "Share of the tokens of the expert with the fewest, relative to a fair share, 1 / experts.",
            bounds=_SHARE,
        ),
    )
)


def in_unit(metric: Metric, unit: str) -> Metric:
    """The metric with a label that says so where it is of scaled logits."""
    return metric if unit == RAW else replace(metric, label=f"{metric.label}, scaled")
