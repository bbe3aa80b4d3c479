"""Scores of intervals and quantiles against loops and closed forms; each can win and lose."""

from statistics import NormalDist

import numpy as np
import pytest
import torch

from pipeline.mole.metrics.intervals import IntervalScores, crps_of_quantiles, interval_score, pinball


def truths(count: int = 20_000) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=count))


def test_the_interval_score_of_single_truths() -> None:
    low, high = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([2.0, 2.0, 2.0])
    found = interval_score(low, high, torch.tensor([1.0, -0.5, 3.0]), 0.9)
    assert found.tolist() == pytest.approx([2, 2 + 20 * 0.5, 2 + 20 * 1])


def test_the_pinball_loss_of_single_truths() -> None:
    found = pinball(torch.zeros(3), torch.tensor([2.0, -2.0, 0.0]), 0.9)
    assert found.tolist() == pytest.approx([1.8, 0.2, 0])


def test_shapes_have_to_be_the_same() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        interval_score(torch.zeros(3), torch.zeros(3), torch.zeros(2, 3), 0.9)
    with pytest.raises(ValueError, match="shapes differ"):
        pinball(torch.zeros(3), torch.zeros(2, 3), 0.9)


def test_the_interval_score_is_best_for_the_true_interval() -> None:
    truth, normal = truths(), NormalDist()
    mean = {
        factor: float(interval_score(*_ends(truth, factor * normal.inv_cdf(0.95)), truth, 0.9).mean())
        for factor in (0.5, 1.0, 2.0)
    }
    assert mean[1.0] < min(mean[0.5], mean[2.0])
    expected = 2 * 20 * normal.pdf(normal.inv_cdf(0.95))  # 2 z + 40 (pdf(z) - 0.05 z), z the quantile
    assert mean[1.0] == pytest.approx(expected, rel=0.02)


def _ends(truth: torch.Tensor, width: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full_like(truth, -width), torch.full_like(truth, width)


def test_crps_of_many_quantiles_of_a_normal_distribution_is_the_closed_form() -> None:
    """E CRPS(N(0, 1), y) for y of N(0, 1) is 1 / sqrt(pi) (Gneiting and Raftery 2007, equation 21)."""
    truth, levels = truths(4000), [(n + 0.5) / 400 for n in range(400)]
    found = crps_of_quantiles(((q, torch.full_like(truth, NormalDist().inv_cdf(q))) for q in levels), truth)
    y = truth.numpy()
    cdf = np.array([NormalDist().cdf(one) for one in y])
    pdf = np.exp(-(y**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found, y * (2 * cdf - 1) + 2 * pdf - 1 / np.sqrt(np.pi), atol=0.01)


def test_crps_wins_with_the_true_spread_and_is_the_absolute_error_without_any() -> None:
    truth, levels = truths(), [n / 20 for n in range(1, 20)]

    def crps(spread: float) -> float:
        pairs = ((q, torch.full_like(truth, spread * NormalDist().inv_cdf(q))) for q in levels)
        return float(crps_of_quantiles(pairs, truth).mean())

    assert crps(1.0) < min(crps(0.5), crps(2.0)) < crps(0.0)
    assert crps(0.0) == pytest.approx(float(truth.abs().mean()))


def test_windows_are_covered_as_a_loop_over_their_truths_says() -> None:
    """Of two groups of channels: the share of each window, and over all of them the coverage."""
    inside_NCH = torch.rand(6, 5, 4, generator=torch.Generator().manual_seed(0)) < 0.7
    parts = [
        IntervalScores(
            covered_CH=part.double().mean(0),
            width_CH=torch.ones(part.shape[1:]),
            score_C=torch.ones(part.shape[1]),
            crps_C=torch.ones(part.shape[1]),
            covered_N=part.double().sum((1, 2)),
            covered_by_hour=None,
            rows_by_hour=None,
        )
        for part in (inside_NCH[:, :2], inside_NCH[:, 2:])
    ]
    found = IntervalScores.joined(parts)
    expected = [np.mean([bool(one) for one in window.flatten()]) for window in inside_NCH]
    np.testing.assert_allclose(found.coverage_N, expected)
    assert found.coverage == pytest.approx(np.mean(expected))
