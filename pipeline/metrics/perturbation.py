"""How well a predicted perturbation response matches the held-out truth: definitions on means over cells.

G: genes. "Mean" is the mean over cells of log-normalised expression (`pipeline.data.expression.log_normalise`);
"change" is a mean minus the mean of the control cells of the same cell type, for truth and prediction alike.
Distances between whole populations are in `pipeline.metrics.distances`.
"""

import numpy as np
import numpy.typing as npt

from pipeline.data.groups import Moments

Array = npt.NDArray[np.float64]


def pearson(x_G: Array, y_G: Array) -> float:
    """Pearson correlation over genes; 0 where either side is constant, since a constant says nothing about the other.

    So the prediction "no change" scores 0.
    """
    x_G, y_G = x_G - x_G.mean(), y_G - y_G.mean()
    norm = float(np.linalg.norm(x_G) * np.linalg.norm(y_G))
    return float(np.clip(x_G @ y_G / norm, -1, 1)) if norm > 0 else 0.0


def mse(predicted_G: Array, true_G: Array) -> float:
    """Mean over genes of the squared error of means."""
    return float(np.mean((predicted_G - true_G) ** 2))


def mae(predicted_G: Array, true_G: Array) -> float:
    """Mean over genes of the absolute error of means."""
    return float(np.mean(np.abs(predicted_G - true_G)))


def welch_t(treated: Moments, control: Moments) -> Array:
    """Welch's t per gene, (mean_1 − mean_2) / sqrt(s²_1 / n_1 + s²_2 / n_2), shape (G,).

    Without any variance: 0 where the means agree too, else infinite with the sign of the difference.
    Source: Welch (1947, Biometrika 34); the test behind scanpy's `rank_genes_groups(method="t-test")`.
    """
    difference_G = treated.mean_G - control.mean_G
    error_G = np.sqrt(treated.variance_G / treated.cells + control.variance_G / control.cells)
    certain_G = np.where(difference_G == 0, 0.0, np.copysign(np.inf, difference_G))
    return np.divide(difference_G, error_G, out=certain_G, where=error_G > 0)


def de_rank(treated: Moments, control: Moments) -> npt.NDArray[np.int64]:
    """Rank per gene by |Welch's t|, up and down alike, shape (G,): 1 is the most differentially expressed.

    Ties (and infinities) keep the order of the genes.
    """
    order_G = np.argsort(-np.abs(welch_t(treated, control)), kind="stable")
    rank_G = np.empty(len(order_G), dtype=np.int64)
    rank_G[order_G] = np.arange(1, len(order_G) + 1)
    return rank_G


def mean_scores(
    predicted_change_G: Array, true_change_G: Array, rank_G: npt.NDArray[np.int64], top_genes: list[int]
) -> dict[str, float]:
    """Scores of predicted means, by name.

    pearson_change: Pearson over all genes of predicted against true change; pearson_change_top<n>: the same over the n
    genes with `rank_G` <= n (all genes where there are fewer than n); mse, mae: over all genes; subtracting the same
    control from both sides changes neither.
    """
    scores = {"pearson_change": pearson(predicted_change_G, true_change_G)}
    for top in top_genes:
        chosen_G = rank_G <= top
        scores[f"pearson_change_top{top}"] = pearson(predicted_change_G[chosen_G], true_change_G[chosen_G])
    scores["mse"] = mse(predicted_change_G, true_change_G)
    scores["mae"] = mae(predicted_change_G, true_change_G)
    return scores
