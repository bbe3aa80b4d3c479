"""The scores and methods of both tasks as data. `pipeline/alphastomics/metrics/` has the formulas and their sources."""

from math import inf, log

from pipeline.metrics.glossary import Glossary, Metric

EXPR_TO_POS, POS_TO_EXPR = "expr_to_pos", "pos_to_expr"

_CORRELATION, _SHARE, _POSITIVE = (-1.0, 1.0), (0.0, 1.0), (0.0, inf)

_OWN_METHODS = (
    (
        "model",
        "AlphaSTomics",
        "The model: masked diffusion over the cells of a neighbourhood, one network for both tasks, given cell types; "
        "its estimate from noise alone. Where sections share a frame, it is combined with ridge and kNN regression, or "
        "with means over near cells and cells of the type, by weights from training and validation cells.",
    ),
    ("model_untyped", "AlphaSTomics, types unknown", "The same network without the cell types."),
    (
        "model_draw",
        "AlphaSTomics, one sample",
        "One sample instead of the estimate: a place as far from it as its error is expected to be, so that the "
        "sample's root-mean-square error is about √2 times the estimate's; expression with the variability of tissue. "
        "The energy score is of all samples.",
    ),
)
_CONTROLS = (
    ("truth", "truth", "Positive control: the measurements, through the same code. It has to score perfectly."),
    ("shuffled", "shuffled", "Negative control: the measurements, permuted among the cells of the section."),
)

POSITION = Glossary(
    metrics=(
        Metric(
            "spearman_distances",
            "Spearman of distances",
            True,
            "Rank correlation of predicted and measured distances over all pairs of cells. It needs no alignment: "
            "translating, rotating, reflecting or scaling the prediction changes nothing. Pearson: the same without "
            "ranks. Per cell: over one cell's distances to all others, mean over cells.",
            bounds=_CORRELATION,
        ),
        Metric("spearman_per_cell", "Spearman per cell", True, bounds=_CORRELATION),
        Metric(
            "knn_overlap",
            "kNN overlap",
            True,
            "Share of a cell's 10 nearest measured neighbours that are among its 10 nearest predicted ones.",
            bounds=_SHARE,
        ),
        Metric(
            "contact_f1",
            "Contact F1",
            True,
            "The nearest tenth of all pairs of cells are in contact. Predicted distances are scaled to the measured "
            "ones and thresholded alike. Precision: share of the called pairs that are in contact; recall: share of "
            "the pairs in contact that are called; F1: their harmonic mean, 0.18 for calling all pairs.",
            bounds=_SHARE,
        ),
        Metric("contact_precision", "Contact precision", True, bounds=_SHARE),
        Metric(
            "rmsd_over_gyration",
            "RMSD / Rg",
            False,
            "Root-mean-square distance of predicted and measured positions after the best rotation, reflection and "
            "translation (Kabsch), over the tissue's radius of gyration; all cells at one position score 1. No "
            "reflection: rotation and translation only. In the frame: as predicted, without any alignment.",
            bounds=_POSITIVE,
        ),
        Metric(
            "energy_score_over_gyration",
            "Energy score / Rg",
            False,
            "Mean distance of a cell's draws from its measured position less half their mean distance from each other, "
            "over the radius of gyration; of a single place, the mean distance. A proper score: lowest on average for "
            "draws that are spread as the errors are. In the frame; where none is shared, after alignment.",
            bounds=_POSITIVE,
        ),
        Metric("pearson_distances", "Pearson of distances", True, bounds=_CORRELATION),
        Metric("pearson_per_cell", "Pearson per cell", True, bounds=_CORRELATION),
        Metric("contact_recall", "Contact recall", True, bounds=_SHARE),
        Metric("rmsd_over_gyration_without_reflection", "RMSD / Rg, no reflection", False, bounds=_POSITIVE),
        Metric("rmsd_in_frame_over_gyration", "RMSD / Rg, in the frame", False, bounds=_POSITIVE),
    ),
    methods=(
        *_OWN_METHODS,
        ("random", "random", "Each cell at the position of a training cell drawn at random."),
        ("cell_type_centroid", "cell-type centroid", "Each cell at the mean position of its type's training cells."),
        ("pca_2", "PCA-2", "The first principal components of expression as positions."),
        ("ridge", "ridge", "Ridge regression of position on expression, its penalty chosen by cross-validation."),
        ("knn", "kNN", "Mean position of the 10 training cells with the most similar expression."),
        *_CONTROLS,
    ),
)

EXPRESSION = Glossary(
    metrics=(
        Metric(
            "pcc",
            "PCC per gene",
            True,
            "Pearson correlation of a gene's predicted and measured expression over cells, mean over genes; 0 where "
            "the prediction is constant. Per cell: over genes, mean over cells; the mean of all cells does well there.",
            bounds=_CORRELATION,
        ),
        Metric(
            "ssim",
            "SSIM",
            True,
            "Structural similarity of a gene's two maps, each divided by its largest value: brightness, contrast and "
            "pattern together; 1 for identical maps.",
            bounds=_CORRELATION,
        ),
        Metric(
            "js",
            "JS divergence",
            False,
            "Jensen-Shannon divergence, in nats, between a gene's predicted and measured distributions over the cells.",
            bounds=(0.0, log(2)),
        ),
        Metric("pcc_per_cell", "PCC per cell", True, bounds=_CORRELATION),
        Metric(
            "moran_difference",
            "Moran's I, error",
            False,
            "Moran's I is the spatial autocorrelation of a gene's expression (0: no pattern). The error is the mean "
            "over genes of the absolute difference between prediction and measurement; a constant prediction has a "
            "small one where the measured patterns are weak.",
            bounds=_POSITIVE,
        ),
    ),
    methods=(
        *_OWN_METHODS,
        ("mean", "mean", "Mean expression of all training cells."),
        ("cell_type_mean", "cell-type mean", "Mean expression of the training cells of the cell's type."),
        ("knn_in_space", "kNN in space", "Mean expression of the 10 nearest training cells, in the sections' frames."),
        ("knn_in_space_same_type", "kNN in space, same type", "The same among training cells of the cell's type."),
        (
            "noise_ceiling",
            "ceiling by noise",
            "What no prediction can exceed, given the noise of the counts: from the correlation of two halves that the "
            "counts are thinned to. Such a prediction would know what is peculiar to each single cell, its depth too.",
        ),
        *_CONTROLS,
    ),
)

GLOSSARIES = {EXPR_TO_POS: POSITION, POS_TO_EXPR: EXPRESSION}
