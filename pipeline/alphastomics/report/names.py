"""Scores and methods on tissue as the reader meets them."""

from pipeline.metrics.glossary import Method, Metric, Role

EXPR_TO_POS, POS_TO_EXPR = "expr_to_pos", "pos_to_expr"
MODES = (EXPR_TO_POS, POS_TO_EXPR)
DECISIVE = {EXPR_TO_POS: ("spearman_distances", "knn_overlap", "contact_f1"), POS_TO_EXPR: ("pcc",)}
KEY = {EXPR_TO_POS: DECISIVE[EXPR_TO_POS], POS_TO_EXPR: ("pcc", "ssim", "js")}  # those drawn

# name, label, whether higher is better, definition (empty: another one's says it)
_POSITION = (
    (
        "spearman_distances",
        "Spearman of distances",
        True,
        "Rank correlation, over all pairs of cells, of their predicted and their measured distance. It needs no "
        "alignment: moving, turning, mirroring or scaling the prediction changes nothing. Pearson: the same of the "
        "distances themselves. Per cell: of one cell's distances to all others, mean over cells.",
    ),
    ("spearman_per_cell", "Spearman per cell", True, ""),
    (
        "knn_overlap",
        "kNN overlap",
        True,
        "Share of a cell's 10 nearest measured neighbours that are among its 10 nearest predicted ones.",
    ),
    (
        "contact_f1",
        "Contact F1",
        True,
        "The nearest tenth of all pairs of cells are in contact. Predicted distances are scaled to the measured ones "
        "and called by the same threshold. Precision: share of the called pairs that are in contact; "
        "recall: share of those in contact that are called; F1: their harmonic mean, 0.18 for calling all pairs.",
    ),
    ("contact_precision", "Contact precision", True, ""),
    (
        "rmsd_over_gyration",
        "RMSD / Rg",
        False,
        "Root-mean-square distance of predicted and measured places after the best rotation, reflection and shift "
        "(Kabsch), over the tissue's radius of gyration; all cells in one place score 1. Without reflection: rotation "
        "and shift only. In the frame: as predicted, without any alignment.",
    ),
    ("pearson_distances", "Pearson of distances", True, ""),
    ("pearson_per_cell", "Pearson per cell", True, ""),
    ("contact_recall", "Contact recall", True, ""),
    ("rmsd_over_gyration_without_reflection", "RMSD / Rg, no reflection", False, ""),
    ("rmsd_in_frame_over_gyration", "RMSD / Rg, in the frame", False, ""),
)
_EXPRESSION = (
    (
        "pcc",
        "PCC per gene",
        True,
        "Pearson correlation of a gene's predicted and measured expression over the cells, mean over genes; 0 where "
        "the prediction is constant. Per cell: over genes, mean over cells; there the mean of all cells scores well.",
    ),
    (
        "ssim",
        "SSIM",
        True,
        "Structural similarity of a gene's two pictures, each over its largest value: brightness, contrast and pattern "
        "together; 1 is the same picture.",
    ),
    (
        "rmse",
        "RMSE",
        False,
        "Root-mean-square difference of a gene's z-scores. A constant prediction scores 1, and so beats any "
        "with a PCC below 0.5.",
    ),
    (
        "js",
        "JS divergence",
        False,
        "Jensen-Shannon divergence, in nats, of how a gene's predicted and measured expression are spread over the "
        "cells.",
    ),
    ("pcc_per_cell", "PCC per cell", True, ""),
    (
        "moran_difference",
        "Moran's I, error",
        False,
        "Moran's I says how alike a gene's expression is in neighbouring cells (0: no pattern). The error is the mean "
        "over genes of the difference between prediction and measurement; a constant prediction errs little where the "
        "measured patterns are weak.",
    ),
)
_METRICS = {EXPR_TO_POS: _POSITION, POS_TO_EXPR: _EXPRESSION}
MAIN = {
    EXPR_TO_POS: ("spearman_distances", "spearman_per_cell", "knn_overlap", "contact_f1", "rmsd_over_gyration"),
    POS_TO_EXPR: ("pcc", "ssim", "rmse", "js", "pcc_per_cell", "moran_difference"),
}

_CONTROLS = ("truth", "shuffled")
_METHODS = {
    "model": (
        "AlphaSTomics",
        "The model: masked diffusion over the cells of a neighbourhood, one network for both, told their types; its "
        "estimate from noise alone.",
    ),
    "model_untyped": ("AlphaSTomics, types unknown", "The same network, not told the types of the cells."),
    "model_draw": ("AlphaSTomics, one sample", "One sample of it in place of its estimate: as spread as tissue is."),
    "random": ("random", "Each cell at the place of a training cell drawn at random."),
    "cell_type_centroid": ("cell-type centroid", "Each cell at the mean place of the training cells of its type."),
    "pca_2": ("PCA-2", "The first principal components of expression as places."),
    "ridge": ("ridge", "Ridge regression of place on expression, its penalty chosen by cross-validation."),
    "knn": ("kNN", "Mean place of the 10 training cells with the most similar expression."),
    "mean": ("mean", "Mean expression of all training cells."),
    "cell_type_mean": ("cell-type mean", "Mean expression of the training cells of the cell's type."),
    "knn_in_space": ("kNN in space", "Mean expression of the 10 nearest training cells, sections laid on each other."),
    "knn_in_space_same_type": ("kNN in space, same type", "The same among training cells of the cell's type."),
    "truth": ("truth", "Positive control: what was measured, through the same code. It has to score perfectly."),
    "shuffled": ("shuffled", "Negative control: what was measured, given to the wrong cells of the section."),
}
PARTS = {
    "unmasked": "masked training",
    "plain_attention": "gated attention",
    "dense": "mixture of experts",
}  # what a variant of the model lacks


def metrics_of(mode: str) -> list[Metric]:
    """All scores of a mode, in the order of the tables."""
    return [Metric(name, label, better, definition) for name, label, better, definition in _METRICS[mode]]


def metric_named(mode: str, name: str) -> Metric:
    """KeyError where the mode has no such score."""
    found = {metric.name: metric for metric in metrics_of(mode)}
    return found[name]


def method_named(name: str) -> Method:
    """The method of this name; one not known here goes by its own name, and is a baseline. The model asked otherwise is
    no rival of its own."""
    role: Role = "model" if name.split("_")[0] == "model" else "control" if name in _CONTROLS else "baseline"
    label, definition = _METHODS.get(name, (name.replace("_", " "), ""))
    return Method(name, label, role, definition)


def part_named(variant: str) -> str:
    """The part of the model that this variant lacks."""
    return PARTS.get(variant, f"not {variant.replace('_', ' ')}")
