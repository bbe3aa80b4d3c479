"""The scores and methods of this system as data. `pipeline/metrics/perturbation.py` and `pipeline/cfm_vc/metrics/` have
the formulas and their sources."""

from math import inf

from pipeline.metrics.glossary import Glossary, Metric

_CORRELATION, _SHARE, _POSITIVE = (-1.0, 1.0), (0.0, 1.0), (0.0, inf)

GLOSSARY = Glossary(
    metrics=(
        Metric(
            "pearson_change",
            "Pearson of change",
            True,
            "Pearson correlation over all genes of predicted and true change; 0 where one of them is constant.",
            bounds=_CORRELATION,
        ),
        Metric(
            "pearson_change_top{n}",
            "Pearson top {n}",
            True,
            "The same over the n most differentially expressed genes.",
            bounds=_CORRELATION,
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
            "e_distance",
            "E\N{NON-BREAKING HYPHEN}distance",
            False,
            "Twice the mean distance between predicted and true cells, minus the mean distances within the predicted "
            "and within the true ones: plain Euclidean, in principal components. 0 on average for samples of one "
            "population.",
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
            "is farther from the predicted one (L1 over genes) than that of the right one. 1 is best, 0.5 is chance.",
            bounds=_SHARE,
            chance=0.5,
        ),
        Metric(
            "de_overlap_top{n}",
            "DE overlap top {n}",
            True,
            "Share of the truth's n most differentially expressed genes that are among the prediction's n.",
            bounds=_SHARE,
        ),
        Metric(
            "de_direction",
            "DE direction",
            True,
            "Share of the genes that truly respond (Welch's test, false discovery rate 5 %) that are predicted to move "
            "the right way; 0.5 is a coin's.",
            bounds=_SHARE,
            chance=0.5,
        ),
        Metric(
            "wasserstein",
            "Wasserstein",
            False,
            "Wasserstein\N{NON-BREAKING HYPHEN}1 distance between the predicted and the true cells' expression of a "
            "gene, mean over all genes.",
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
            "truth_pearson_change",
            "Pearson, simulation",
            True,
            "Pearson correlation of the predicted change with the log fold change that the cells were simulated with.",
            bounds=_CORRELATION,
        ),
    ),
    methods=(
        ("cfm_vc", "CFM-VC", "The model: a count VAE, then conditional flow matching in its latent space."),
        ("control_mean", "control mean", "No effect: the control cells of the held-out cell type as they are."),
        (
            "perturbation_mean",
            "perturbation mean",
            "The perturbed cells of the other cell types: their mean, and a sample of them as the population.",
        ),
        (
            "additive_shift",
            "additive shift",
            "The control cells of the held-out cell type, moved by the perturbation's mean change in the others.",
        ),
        (
            "ridge",
            "ridge",
            "Ridge regression of the change on perturbation and cell type; moves the control cells by it.",
        ),
        ("split_half", "split-half ceiling", "How well one half of the true cells predicts the other."),
        (
            "truth",
            "truth",
            "Positive control: the true cells as the prediction, through the same code. It has to score perfectly "
            "against itself.",
        ),
        (
            "shuffled_labels",
            "shuffled labels",
            "Negative control: the additive shift learned from shuffled perturbation labels, through the same code. It "
            "has nothing to learn from, and must not beat the best baselines.",
        ),
    ),
)
