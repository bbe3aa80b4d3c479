"""Metrics and methods as the reader meets them: what they are called, what they mean, which way is better."""

import re
from dataclasses import dataclass
from typing import Literal

from pipeline.metrics.ranking import higher_is_better

Role = Literal["model", "baseline", "ceiling", "control"]  # in this order on the page

# name as a pattern with the number of genes, label, definition
_METRICS = (
    (
        r"pearson_change",
        "Pearson of change",
        "Pearson correlation over all genes of predicted and true change; 0 where one of them is constant.",
    ),
    (r"pearson_change_top(\d+)", "Pearson top {n}", "The same over the n most differentially expressed genes."),
    (r"mse", "MSE", "Mean over genes of the squared error of the predicted mean."),
    (r"mae", "MAE", "Mean over genes of the absolute error of the predicted mean."),
    (
        r"e_distance",
        "E\N{NON-BREAKING HYPHEN}distance",
        "Twice the mean distance between predicted and true cells, minus the mean distances within the predicted and "
        "within the true ones: plain Euclidean, in principal components. 0 on average for samples of one population.",
    ),
    (
        r"mmd",
        "MMD",
        "Squared maximum mean discrepancy of predicted and true cells in the same components, with a mixture of "
        "Gaussian kernels.",
    ),
    (
        r"discrimination",
        "Discrimination",
        "Perturbation discrimination score: share of the other perturbations in the cell type whose true change is "
        "farther from the predicted one (L1 over genes) than that of the right one. 1 is best, 0.5 is chance.",
    ),
    (
        r"de_overlap_top(\d+)",
        "DE overlap top {n}",
        "Share of the truth's n most differentially expressed genes that are among the prediction's n.",
    ),
    (
        r"de_direction",
        "DE direction",
        "Share of the genes that truly respond (Welch's test, false discovery rate 5 %) that are predicted to move the "
        "right way; 0.5 is a coin's.",
    ),
    (
        r"wasserstein",
        "Wasserstein",
        "Wasserstein\N{NON-BREAKING HYPHEN}1 distance between the predicted and the true cells' expression of a gene, "
        "mean over all genes.",
    ),
    (r"wasserstein_top(\d+)", "Wasserstein top {n}", "The same over the n most differentially expressed genes."),
    (
        r"truth_pearson_change",
        "Pearson, simulation",
        "Pearson correlation of the predicted change with the log fold change that the cells were simulated with.",
    ),
)
_CHANCE = {"discrimination": 0.5, "de_direction": 0.5}

_METHODS = {
    "cfm_vc": ("CFM-VC", "The model: a count VAE, then conditional flow matching in its latent space."),
    "control_mean": ("control mean", "No effect: the control cells of the held-out cell type as they are."),
    "perturbation_mean": (
        "perturbation mean",
        "The perturbed cells of the other cell types: their mean, and a sample of them as the population.",
    ),
    "additive_shift": (
        "additive shift",
        "The control cells of the held-out cell type, moved by the perturbation's mean change in the others.",
    ),
    "ridge": ("ridge", "Ridge regression of the change on perturbation and cell type; moves the control cells by it."),
    "split_half": ("split-half ceiling", "How well one half of the true cells predicts the other."),
    "truth": (
        "truth",
        "Positive control: the true cells as the prediction, through the same code. It has to score perfectly against "
        "itself.",
    ),
    "shuffled_labels": (
        "shuffled labels",
        "Negative control: the additive shift learned from shuffled perturbation labels, through the same code. It "
        "knows nothing, and must not beat the best baselines.",
    ),
}


@dataclass(frozen=True)
class Metric:
    """A score; `title` and `definition` hold whatever the number of top genes, which `genes` is where there is one."""

    name: str
    label: str
    title: str
    definition: str
    higher_is_better: bool
    genes: int | None = None
    chance: float | None = None  # what guessing scores

    @property
    def arrow(self) -> str:
        return "↑" if self.higher_is_better else "↓"

    @property
    def direction(self) -> str:
        return "higher is better" if self.higher_is_better else "lower is better"


@dataclass(frozen=True)
class Method:
    name: str
    label: str
    role: Role
    definition: str = ""


def metric_of(name: str) -> Metric:
    """The metric of this name; one not known here goes by its own name."""
    better, chance = higher_is_better(name), _CHANCE.get(name)
    for pattern, label, definition in _METRICS:
        if match := re.fullmatch(pattern, name):
            genes = int(match.group(1)) if match.groups() else None
            return Metric(name, label.format(n=genes), label.format(n="n"), definition, better, genes, chance)
    plain = name.replace("_", " ")
    return Metric(name, plain, plain, "", better)


def method_of(name: str, role: Role) -> Method:
    """The method of this name; one not known here goes by its own name."""
    label, definition = _METHODS.get(name, (name.replace("_", " "), ""))
    return Method(name, label, role, definition)
