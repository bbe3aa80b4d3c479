"""Metrics and methods of this system as data. Formulas and sources: `pipeline/metrics/perturbation.py` and
`pipeline/cfm_vc/metrics/`."""

from math import inf

from pipeline.metrics.glossary import Glossary, Metric

_CORRELATION, _SHARE, _POSITIVE = (-1.0, 1.0), (0.0, 1.0), (0.0, inf)

GLOSSARY = Glossary(
    metrics=(
        Metric(
            "pearson_change",
            "Pearson of change",
            True,
            "Pearson correlation over all genes of predicted and true change; 0 if either is constant.",
            bounds=_CORRELATION,
        ),
        Metric(
            "pearson_change_top{n}",
            "Pearson top {n}",
            True,
            "The same over the n most differentially expressed genes.",
            bounds=_CORRELATION,
        ),
        Metric(
            "slope_change",
            "Slope of change",
            False,
            "Least-squares slope of the predicted on the true change over all genes: 1 is the right size of the "
            "effect, below 1 is too small. Methods are compared by their distance to 1.",
            best_value=1.0,
        ),
        Metric("mse", "MSE", False, "Mean over genes of the squared error of the predicted mean.", bounds=_POSITIVE),
        Metric(
            "mae",
            "MAE",
            False,
            "Mean over genes of the absolute error of the predicted mean.",
            "log-normalised expression",
            _POSITIVE,
        ),
        Metric(
            "wmse",
            "Weighted MSE",
            False,
            "MSE with a gene's weight growing with the square of its differential expression (Welch's t) between the "
            "held-out cells and those of the other perturbations of the cell type (Mejia et al. 2025).",
            bounds=_POSITIVE,
        ),
        Metric(
            "r2_weighted",
            "Weighted R² of change",
            True,
            "Coefficient of determination, with the same weights, of changes against the mean over all perturbations "
            "of the cell type (against control where no other is known): predicting that mean scores at most 0.",
            bounds=(-inf, 1.0),
        ),
        Metric(
            "e_distance",
            "E\N{NON-BREAKING HYPHEN}distance",
            False,
            "Twice the mean distance between predicted and true cells, minus the mean distances within the predicted "
            "and within the true ones: Euclidean, in principal components of other cells. 0 on average for two samples "
            "of the same population.",
            unit="log-normalised expression",
            unbiased_distance=True,
        ),
        Metric(
            "mmd",
            "MMD",
            False,
            "Squared maximum mean discrepancy of predicted and true cells in the same components, with a mixture of "
            "Gaussian kernels.",
            unbiased_distance=True,
        ),
        Metric(
            "discrimination",
            "Discrimination",
            True,
            "Perturbation discrimination score: share of the other perturbations in the cell type whose true change "
            "is farther from the prediction (L1 over genes) than the correct one. 1 is best, 0.5 is chance.",
            bounds=_SHARE,
            chance=0.5,
        ),
        Metric(
            "de_overlap_top{n}",
            "DE overlap top {n}",
            True,
            "Share of the n most differentially expressed genes that are among the n with the largest predicted "
            "change.",
            bounds=_SHARE,
        ),
        Metric(
            "de_direction",
            "DE direction",
            True,
            "Share of truly responding genes (Welch's test, false discovery rate 5 %) predicted to change in the "
            "right direction; 0.5 is chance.",
            bounds=_SHARE,
            chance=0.5,
        ),
        Metric(
            "wasserstein",
            "Wasserstein",
            False,
            "Wasserstein\N{NON-BREAKING HYPHEN}1 distance between predicted and true distributions of expression over "
            "cells, mean over all genes.",
            unit="log-normalised expression",
            bounds=_POSITIVE,
        ),
        Metric(
            "wasserstein_top{n}",
            "Wasserstein top {n}",
            False,
            "The same over the n most differentially expressed genes.",
            bounds=_POSITIVE,
        ),
        Metric(
            "coverage",
            "Coverage",
            False,
            "Share of the genes whose measured change lies in the 90 % interval of the prediction, widened by the "
            "noise that a mean of so many cells has; 0.9 is best.",
            bounds=_SHARE,
            best_value=0.9,
        ),
        Metric(
            "coverage_top{n}",
            "Coverage top {n}",
            False,
            "The same over the n most differentially expressed genes.",
            bounds=_SHARE,
            best_value=0.9,
        ),
        Metric(
            "truth_pearson_change",
            "Pearson, simulation",
            True,
            "Pearson correlation of the predicted change with the simulated log fold change.",
            bounds=_CORRELATION,
        ),
    ),
    methods=(
        (
            "cfm_vc",
            "CFM-VC",
            "The model: a count VAE, then conditional flow matching in its latent space; the change of the mean is "
            "calibrated on the training groups and averaged with a closed-form expectation.",
        ),
        ("control_mean", "control mean", "No effect: the unchanged control cells of the held-out cell type."),
        (
            "perturbation_mean",
            "perturbation mean",
            "Perturbed cells of the other cell types: their mean, and a sample as the population.",
        ),
        (
            "additive_shift",
            "additive shift",
            "Control cells of the held-out cell type, shifted by the perturbation's mean change in the other cell "
            "types.",
        ),
        (
            "nearest_context",
            "nearest context",
            "Control cells shifted by the perturbation's change in the other cell type whose controls are most alike.",
        ),
        (
            "ridge",
            "ridge",
            "Control cells shifted by a ridge regression of the change on perturbation and cell type.",
        ),
        (
            "kernel_ridge",
            "kernel ridge",
            "Control cells shifted by a kernel ridge regression of the perturbation's change on the mean expression of "
            "the cell type's controls, which shrinks to the mean change in the other cell types.",
        ),
        (
            "latent_arithmetic",
            "latent arithmetic",
            "Control cells whose latents are shifted by the perturbation's mean latent change in the other cell types, "
            "decoded by the model's own VAE.",
        ),
        ("split_half", "split-half ceiling", "How well one half of the true cells predicts the other."),
        (
            "truth",
            "truth",
            "Positive control: the true cells as their own prediction, through the same code. It must score perfectly.",
        ),
        (
            "shuffled_labels",
            "shuffled labels",
            "Negative control: the additive shift fitted to shuffled perturbation labels, through the same code. It "
            "must not beat the best baselines.",
        ),
    ),
)
