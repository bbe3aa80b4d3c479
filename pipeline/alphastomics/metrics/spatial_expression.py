"""How well expression predicted at given positions matches the measured one: per gene, per cell, and in its pattern.

N: cells of a section, G: genes, S: spatial dimensions, K: neighbours. Expression is log-normalised
(`pipeline.data.expression.log_normalise`) and so not negative; negative predictions are set to 0 for all scores.

The scores of genes are those by which Li et al. (2022, Nature Methods 19, 662, "Benchmarking spatial and single-cell
transcriptomics integration methods") rank methods, following their code where the text gives no detail: PCC, SSIM and
JS. Their fourth, the RMSE of z-scores, is left out: it is sqrt(2 − 2 PCC) where both sides vary but 1 for a constant
prediction, which so beats any with a PCC below 0.5. Moran's I is that of Moran (1950, Biometrika 37, 17).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from pipeline.metrics.perturbation import pearson

Array = npt.NDArray[np.float64]

MORAN_NEIGHBOURS = 8
_SSIM_C1, _SSIM_C2 = 0.01, 0.03  # times the largest value of the two sides, squared
_GENES = 256  # computed at a time


@dataclass(frozen=True)
class ExpressionScores:
    """Scores of each gene, (G,) each; of each cell, (N,) each; and their means."""

    genes: dict[str, Array]
    cells: dict[str, Array]
    varies_G: npt.NDArray[np.bool_]  # genes that vary in the truth: only these are in the means

    def means(self) -> dict[str, float]:
        """Every score's mean, and `moran_difference`, the mean of |Moran's I of prediction − that of truth|."""
        genes = self.genes | {"moran_difference": np.abs(self.genes["moran_predicted"] - self.genes["moran_true"])}
        found = {name: float(of_G[self.varies_G].mean()) for name, of_G in genes.items()}
        return found | {name: float(of_N.mean()) for name, of_N in self.cells.items()}


def expression_scores(
    true_NG: npt.NDArray[np.floating], predicted_NG: npt.NDArray[np.floating], position_NS: npt.NDArray[np.floating]
) -> ExpressionScores:
    """All scores of one section: genes `pcc`, `ssim`, `js`, `moran_true`, `moran_predicted`; cells `pcc_per_cell`.

    pcc: Pearson's correlation over cells; 0 where either side is constant. pcc_per_cell: the same over genes; it
    rewards the mean level of each gene, so predicting the mean scores well and is the baseline to compare with. ssim,
    js, moran_*: see the functions. position_NS: true positions, in any unit.

    ValueError where shapes do not fit, a value is not finite, measured expression is negative (standardised expression
    has to be transformed back first), no gene varies, or there are not more cells than the neighbours of Moran's I.
    """
    true_NG, predicted_NG = np.asarray(true_NG), np.asarray(predicted_NG)
    if true_NG.shape != predicted_NG.shape or true_NG.ndim != 2 or len(position_NS) != len(true_NG):
        shapes = f"{true_NG.shape}, {predicted_NG.shape} and {np.shape(position_NS)}"
        raise ValueError(f"expression and positions of the same cells are needed, got shapes {shapes}")
    if not all(np.isfinite(values).all() for values in (true_NG, predicted_NG, position_NS)):
        raise ValueError("a value is not finite")
    if (true_NG < 0).any():
        raise ValueError("measured expression is negative: scores are of log-normalised expression, not standardised")
    varies_G = np.ptp(true_NG, axis=0) > 0
    if not varies_G.any():
        raise ValueError("no gene varies over the measured cells: there is no pattern to score")
    weights_NN = neighbour_weights(position_NS, MORAN_NEIGHBOURS)
    parts = []
    for start in range(0, true_NG.shape[1], _GENES):
        genes = slice(start, start + _GENES)
        true_GN = np.ascontiguousarray(true_NG[:, genes].T, np.float64)
        predicted_GN = np.maximum(np.ascontiguousarray(predicted_NG[:, genes].T, np.float64), 0)
        parts.append(
            {
                "pcc": pearson(true_GN, predicted_GN),
                "ssim": ssim(true_GN, predicted_GN),
                "js": jensen_shannon(true_GN, predicted_GN),
                "moran_true": morans_i(true_GN, weights_NN),
                "moran_predicted": morans_i(predicted_GN, weights_NN),
            }
        )
    by_gene = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    cells = {"pcc_per_cell": pearson(true_NG.astype(np.float64), np.maximum(predicted_NG, 0).astype(np.float64))}
    return ExpressionScores(by_gene, cells, varies_G)


def ssim(true_GN: Array, predicted_GN: Array) -> Array:
    """Structural similarity of each gene, (G,), at most 1, which is equality: global, without a sliding window.

    Both sides are divided by their largest value; then, with means μ, standard deviations σ (over N) and covariance
    σ_12: (2 μ_1 μ_2 + C_1²)(2 σ_12 + C_2²) / ((μ_1² + μ_2² + C_1²)(σ_1² + σ_2² + C_2²)), where C_1 = 0.01 M,
    C_2 = 0.03 M and M is the largest value, 1. Li et al. (2022); their program multiplies three terms, of which the
    last two are together the last of these. Unlike the correlation it sees brightness and contrast.
    """
    true_GN, predicted_GN = _over_largest(true_GN), _over_largest(predicted_GN)
    largest_G = np.maximum(true_GN.max(axis=1), predicted_GN.max(axis=1))
    c1_G, c2_G = (_SSIM_C1 * largest_G) ** 2, (_SSIM_C2 * largest_G) ** 2
    mean_1, mean_2 = true_GN.mean(axis=1), predicted_GN.mean(axis=1)
    centred_1, centred_2 = true_GN - mean_1[:, None], predicted_GN - mean_2[:, None]
    covariance_G = (centred_1 * centred_2).mean(axis=1)
    variances_G = (centred_1**2).mean(axis=1) + (centred_2**2).mean(axis=1)
    above_G = (2 * mean_1 * mean_2 + c1_G) * (2 * covariance_G + c2_G)
    below_G = (mean_1**2 + mean_2**2 + c1_G) * (variances_G + c2_G)
    # Both sides 0 everywhere: the same picture.
    ssim_G: Array = np.divide(above_G, below_G, out=np.ones_like(above_G), where=below_G > 0)
    return ssim_G


def jensen_shannon(true_GN: Array, predicted_GN: Array) -> Array:
    """Jensen-Shannon divergence of each gene's distribution over the cells, (G,), in nats: 0 to log 2.

    Each side is divided by its sum over cells, P and Q; then ½ KL(P ‖ M) + ½ KL(Q ‖ M) with M = ½ (P + Q). A side that
    is 0 everywhere is spread evenly. Li et al. (2022); Lin (1991, IEEE Trans. Inf. Theory 37, 145).
    """
    p_GN, q_GN = _shares(true_GN), _shares(predicted_GN)
    middle_GN = (p_GN + q_GN) / 2
    divergence_G: Array = (_divergence(p_GN, middle_GN) + _divergence(q_GN, middle_GN)) / 2
    return np.clip(divergence_G, 0, None)  # rounding


def neighbour_weights(position_NS: npt.NDArray[np.floating], neighbours: int) -> csr_array:
    """The weights of Moran's I: 1 / k for each cell's k nearest other cells, (N, N), so that rows sum to 1.

    Of cells equally far, those that the search finds first. ValueError where there are not more than k cells.
    """
    cells = len(position_NS)
    if cells <= neighbours:
        raise ValueError(f"{cells} cells are too few for {neighbours} neighbours of each")
    nearest_NK = cKDTree(position_NS).query(position_NS, neighbours + 1)[1]
    itself_NK = nearest_NK == np.arange(cells)[:, None]
    itself_NK[~itself_NK.any(axis=1), -1] = True  # among many cells in one place, a cell may not find itself
    indices = nearest_NK[~itself_NK]
    return csr_array(
        (np.full(len(indices), 1 / neighbours), indices, np.arange(0, len(indices) + 1, neighbours)), (cells, cells)
    )


def morans_i(value_GN: Array, weights_NN: csr_array) -> Array:
    """Moran's I of each gene, (G,): Σ_ij w_ij z_i z_j / Σ_i z_i² with z = x − mean and rows of weights that sum to 1.

    About 0 (−1 / (N − 1)) for values without a pattern, towards 1 where neighbours are alike; 0 for a constant.
    """
    z_GN = _z_scores(value_GN)
    moran_G: Array = np.einsum("gn,gn->g", z_GN, (weights_NN @ z_GN.T).T) / z_GN.shape[1]
    return moran_G


def _z_scores(value_GN: Array) -> Array:
    """(x − mean) / standard deviation of each row; 0 where it is constant, up to rounding."""
    centred_GN = value_GN - value_GN.mean(axis=1, keepdims=True)
    deviation_G1 = np.sqrt((centred_GN**2).mean(axis=1, keepdims=True))
    varies_G1 = deviation_G1 > 1e-12 * np.abs(value_GN).max(axis=1, keepdims=True)
    z_GN: Array = np.divide(centred_GN, deviation_G1, out=np.zeros_like(centred_GN), where=varies_G1)
    return z_GN


def _over_largest(value_GN: Array) -> Array:
    largest_G1 = value_GN.max(axis=1, keepdims=True)
    scaled_GN: Array = np.divide(value_GN, largest_G1, out=np.zeros_like(value_GN), where=largest_G1 > 0)
    return scaled_GN


def _shares(value_GN: Array) -> Array:
    sum_G1 = value_GN.sum(axis=1, keepdims=True)
    even_GN = np.full_like(value_GN, 1 / value_GN.shape[1])
    share_GN: Array = np.divide(value_GN, sum_G1, out=even_GN, where=sum_G1 > 0)
    return share_GN


def _divergence(p_GN: Array, q_GN: Array) -> Array:
    """Σ p log(p / q), 0 where p is."""
    ratio_GN = np.divide(p_GN, q_GN, out=np.ones_like(p_GN), where=p_GN > 0)
    divergence_G: Array = (p_GN * np.log(ratio_GN)).sum(axis=1)
    return divergence_G
