"""Scores of predicted expression at given places: against slow references and the field's own definitions, controls."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import entropy, pearsonr

from pipeline.alphastomics.metrics.spatial_expression import expression_scores, morans_i, neighbour_weights

WORSE_HIGHER = {"js", "moran_difference"}


def tissue(cells=80, genes=12, noise=0.3, seed=0):
    """Expression with a pattern in space, zeros among it, and the same with noise; positions."""
    random = np.random.default_rng(seed)
    places = random.uniform(size=(cells, 2))
    waves = np.sin(places @ random.normal(0, 4, (2, genes)) + random.uniform(0, 6, genes))
    true = np.maximum(waves + random.normal(0, 0.2, (cells, genes)), 0)
    return true, np.maximum(true + noise * random.normal(size=true.shape), 0), places


def li_ssim(x, y):
    """As their program has it: three terms, of which the last two share a constant."""
    x, y = x / x.max(), y / y.max()
    c1, c2 = (0.01 * max(x.max(), y.max())) ** 2, (0.03 * max(x.max(), y.max())) ** 2
    s1, s2, s12 = x.std(), y.std(), ((x - x.mean()) * (y - y.mean())).mean()
    luminance = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
    return luminance * (2 * s1 * s2 + c2) / (s1**2 + s2**2 + c2) * (s12 + c2 / 2) / (s1 * s2 + c2 / 2)


def moran(value, places, k=8):
    """Σ_ij w_ij z_i z_j / Σ z², N / W = 1."""
    z, total = value - value.mean(), 0.0
    distance = cdist(places, places)
    for i in range(len(z)):
        total += sum(z[i] * z[j] / k for j in [j for j in np.argsort(distance[i]) if j != i][:k])
    return total / (z**2).sum()


def reference(true, predicted, places):
    def js(x, y):
        middle = (x / x.sum() + y / y.sum()) / 2
        return 0.5 * entropy(x, middle) + 0.5 * entropy(y, middle)

    genes = list(zip(true.T, predicted.T, strict=True))
    return {
        "pcc": [pearsonr(x, y).statistic for x, y in genes],
        "ssim": [li_ssim(x, y) for x, y in genes],
        "js": [js(x, y) for x, y in genes],
        "moran_true": [moran(x, places) for x, _ in genes],
        "moran_predicted": [moran(y, places) for _, y in genes],
    }


@pytest.mark.parametrize("noise", [0.1, 2.0])
def test_the_scores_are_those_of_their_definitions(noise):
    true, predicted, places = tissue(noise=noise)
    found = expression_scores(true, predicted, places)
    expected = reference(true, predicted, places)
    assert set(found.genes) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found.genes[name], values, atol=1e-10, err_msg=name)
    per_cell = [pearsonr(x, y).statistic for x, y in zip(true, predicted, strict=True)]
    np.testing.assert_allclose(found.cells["pcc_per_cell"], per_cell, atol=1e-10)
    means = found.means()
    assert means["pcc"] == pytest.approx(np.mean(expected["pcc"]))
    difference = np.abs(np.subtract(expected["moran_true"], expected["moran_predicted"])).mean()
    assert means["moran_difference"] == pytest.approx(difference)
    assert means["pcc_per_cell"] == pytest.approx(np.mean(per_cell))


def test_the_truth_is_perfect():
    true, _, places = tissue()
    means = expression_scores(true, true, places).means()
    assert {name: means[name] for name in ("pcc", "ssim", "pcc_per_cell")} == pytest.approx(
        {"pcc": 1, "ssim": 1, "pcc_per_cell": 1}
    )
    assert {name: means[name] for name in WORSE_HIGHER} == pytest.approx(dict.fromkeys(WORSE_HIGHER, 0), abs=1e-7)
    assert means["moran_true"] == means["moran_predicted"] > 0.3


def test_the_truth_of_other_cells_is_chance():
    true, _, places = tissue(1000)
    means = expression_scores(true, np.random.default_rng(1).permutation(true), places).means()
    assert abs(means["pcc"]) < 0.03
    assert abs(means["ssim"]) < 0.05
    assert abs(means["moran_predicted"]) < 0.03
    assert means["moran_difference"] == pytest.approx(means["moran_true"], abs=0.03)


def test_the_more_noise_the_worse():
    steps = [expression_scores(*tissue(300, noise=noise)).means() for noise in (0.05, 0.3, 1.0, 5.0)]
    for name in ("pcc", "ssim", "pcc_per_cell", *WORSE_HIGHER):
        values = [step[name] for step in steps]
        assert values == sorted(values, reverse=name not in WORSE_HIGHER), name


def test_the_mean_says_nothing_of_where_a_gene_is():
    true, _, places = tissue()
    found = expression_scores(true, np.tile(true.mean(axis=0), (80, 1)), places)
    assert (found.genes["pcc"] == 0).all()
    assert (found.genes["moran_predicted"] == 0).all()
    assert (found.genes["ssim"] < 0.05).all()
    assert found.means()["pcc_per_cell"] > 0.2  # but it does say which genes are high


def test_a_factor_matters_to_no_gene_and_an_offset_to_its_brightness():
    true, predicted, places = tissue()
    before = expression_scores(true, predicted, places).genes
    scaled = expression_scores(3 * true, 7 * predicted, 100 * places).genes
    for name, values in before.items():
        np.testing.assert_allclose(scaled[name], values, atol=1e-9, err_msg=name)
    lifted = expression_scores(true, predicted + 2, places).genes
    np.testing.assert_allclose(lifted["pcc"], before["pcc"])
    assert (lifted["ssim"] < before["ssim"]).all()
    assert (lifted["js"] > before["js"]).all()


def test_genes_without_counts_are_finite_and_those_that_never_vary_are_in_no_mean():
    true, predicted, places = tissue()
    true[:, 0], true[:, 1], predicted[:, 1], predicted[:, 2] = 0.3, 0, 0, 0
    found = expression_scores(true, predicted, places)
    assert all(np.isfinite(values).all() for values in found.genes.values())
    assert found.genes["pcc"][:3].tolist() == [0, 0, 0]
    assert (found.genes["ssim"][1], found.genes["js"][1]) == (1, 0)
    assert found.genes["js"][2] == pytest.approx(
        0.5 * entropy(true[:, 2], true[:, 2] / true[:, 2].sum() / 2 + 1 / 160)
        + 0.5 * entropy(np.ones(80), true[:, 2] / true[:, 2].sum() / 2 + 1 / 160)
    )
    assert found.varies_G.tolist() == [False, False, *[True] * 10]
    assert found.means()["pcc"] == pytest.approx(found.genes["pcc"][2:].mean())


def test_expression_below_zero_is_read_as_zero():
    true, predicted, places = tissue()
    below = expression_scores(true, predicted - 0.5, places)
    clipped = expression_scores(true, np.maximum(predicted - 0.5, 0), places)
    for name, values in below.genes.items():
        np.testing.assert_array_equal(values, clipped.genes[name])
    assert below.means() == clipped.means()


def test_a_gradient_has_a_high_moran_and_a_chessboard_a_low_one():
    x, y = np.meshgrid(np.arange(12.0), np.arange(12.0))
    places = np.stack([x.ravel(), y.ravel()], axis=1)
    weights = neighbour_weights(places, 4)
    values = np.stack([x.ravel(), (x + y).ravel() % 2, np.full(144, 0.1)])
    gradient, chessboard, constant = morans_i(values, weights)
    assert gradient > 0.8
    assert chessboard < -0.8
    assert constant == 0


def test_cells_in_one_place_are_neighbours_and_never_their_own():
    places = np.repeat([[0.0, 0.0], [5.0, 5.0]], 12, axis=0)
    weights = neighbour_weights(places, 8).toarray()
    assert (weights.diagonal() == 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights[:12, 12:] == 0).all()


def test_blocks_of_genes_change_nothing(monkeypatch):
    true, predicted, places = tissue()
    whole = expression_scores(true, predicted, places)
    monkeypatch.setattr("pipeline.alphastomics.metrics.spatial_expression._GENES", 5)
    for name, values in expression_scores(true, predicted, places).genes.items():
        np.testing.assert_allclose(values, whole.genes[name], atol=1e-12)


def test_what_cannot_be_scored_is_refused():
    true, predicted, places = tissue()
    with pytest.raises(ValueError, match=r"shapes \(80, 12\), \(79, 12\)"):
        expression_scores(true, predicted[1:], places)
    with pytest.raises(ValueError, match="not standardised"):
        expression_scores(true - 1, predicted, places)
    with pytest.raises(ValueError, match="not finite"):
        expression_scores(true, predicted * np.nan, places)
    with pytest.raises(ValueError, match="no gene varies"):
        expression_scores(np.ones_like(true), predicted, places)
    with pytest.raises(ValueError, match="8 cells are too few for 8 neighbours"):
        expression_scores(true[:8], predicted[:8], places[:8])
