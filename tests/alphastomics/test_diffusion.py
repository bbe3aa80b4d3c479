"""Diffusion in discrete time against closed forms and against Bayes' rule on Gaussians, step by step."""

import itertools
import math

import pytest
import torch

from pipeline.alphastomics.model.diffusion import Schedule, centred, centred_normal

EXPONENTS = [0.5, 1.0, 2.0, 5.0]
STRIDES = [(1, 0), (2, 1), (500, 499), (500, 490), (700, 3), (1000, 999), (1000, 900), (1000, 0)]


def slow_alpha_bar(exponent, steps=1000):
    """ᾱ(0 ... T) as the paper writes it, with plain floats."""
    f = [math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** (2 * exponent) for t in range(steps + 1)]
    values = [1.0]
    for t in range(1, steps + 1):
        values.append(values[-1] * (1 - min(1 - f[t] / f[t - 1], 0.999)))
    return values


def times(*values):
    return torch.tensor(values, dtype=torch.int64)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_the_signal_falls_from_exactly_one_to_nearly_nothing(exponent):
    table = Schedule(1000, exponent).table
    torch.testing.assert_close(table, torch.tensor(slow_alpha_bar(exponent), dtype=torch.float64), rtol=1e-9, atol=0)
    assert table[0] == 1
    assert (table[1:] < table[:-1]).all()
    assert 0 < table[-1] < 2e-4
    assert (1 - table[1:] / table[:-1]).max() <= 0.999 + 1e-12


def test_before_the_clip_the_schedule_is_the_closed_form_and_a_higher_exponent_its_power():
    cosine, squared = Schedule(1000).table, Schedule(1000, 2.0).table
    share = torch.arange(1001, dtype=torch.float64) / 1000
    closed = (torch.cos((share + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2
    torch.testing.assert_close(cosine[:999], closed[:999])
    torch.testing.assert_close(squared[:950], cosine[:950] ** 2)


@pytest.mark.parametrize("arguments", [(0, 1.0), (10, 0.0), (10, -1.0), (10, math.nan), (10, math.inf)])
def test_a_schedule_that_cannot_be_is_refused(arguments):
    with pytest.raises(ValueError, match="schedule"):
        Schedule(*arguments)


def test_times_outside_the_schedule_are_an_error():
    with pytest.raises(IndexError):
        Schedule(10).alpha_bar(times(11))


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_single_steps_of_noising_compose_to_the_closed_form(exponent):
    """Mean and variance of x_t under x_t = √(1 − β) x_(t−1) + √β ε, taken step by step from x_0 = 1."""
    schedule = Schedule(1000, exponent)
    table = schedule.table.tolist()
    mean, variance = 1.0, 0.0
    for t in range(1, 1001):
        beta = 1 - table[t] / table[t - 1]
        mean, variance = math.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        if t in (1, 2, 500, 999, 1000):
            signal, level = schedule.levels(times(t), torch.ones(1, dtype=torch.float64))
            assert signal.item() == pytest.approx(mean, rel=1e-9)
            assert level.item() ** 2 == pytest.approx(variance, rel=1e-9)


def test_each_example_has_its_own_time_over_any_trailing_axes():
    schedule, t_B = Schedule(), times(0, 10, 1000)
    x0, noise = normal(3, 4, 5), normal(3, 4, 5, seed=1)
    together = schedule.noised(x0, noise, t_B)
    for i, t in enumerate(t_B.tolist()):
        alone = math.sqrt(schedule.table[t]) * x0[i] + math.sqrt(1 - schedule.table[t]) * noise[i]
        torch.testing.assert_close(together[i], alone)
    assert together[0].equal(x0[0])
    flat = schedule.noised(x0[:, 0, 0], noise[:, 0, 0], t_B)
    torch.testing.assert_close(flat, together[:, 0, 0])


def test_samples_of_the_marginal_have_its_mean_and_variance():
    schedule, t = Schedule(), 400
    x_t = schedule.noised(torch.full((1, 200_000), 2.0), normal(1, 200_000, dtype=torch.float32), times(t))
    assert x_t.mean().item() == pytest.approx(2 * math.sqrt(schedule.table[t]), abs=0.01)
    assert x_t.var().item() == pytest.approx(1 - schedule.table[t].item(), abs=0.01)


def velocity(schedule, x0, noise, t_B):
    """v of Salimans & Ho (2022), appendix D."""
    signal, level = schedule.levels(t_B, x0)
    return signal * noise - level * x0


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_conversions_between_what_networks_predict_invert_each_other(exponent):
    schedule, t_B = Schedule(1000, exponent), times(1, 20, 500, 900)
    x0, noise = normal(4, 6, 3), normal(4, 6, 3, seed=1)
    x_t = schedule.noised(x0, noise, t_B)
    v = velocity(schedule, x0, noise, t_B)
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(schedule.x0_from_v(x_t, v, t_B), x0, **close)
    torch.testing.assert_close(schedule.noise_from_x0(x_t, x0, t_B), noise, **close)
    # v is the velocity of x_t along the angle of the schedule: x_0 from v is exact at both ends too
    ends = times(0, 1000, 0, 1000)
    v = velocity(schedule, x0, noise, ends)
    torch.testing.assert_close(schedule.x0_from_v(schedule.noised(x0, noise, ends), v, ends), x0, **close)


def test_float32_keeps_its_digits_at_the_first_step():
    schedule, x0, noise = Schedule(), normal(1, 50, dtype=torch.float32), normal(1, 50, seed=1, dtype=torch.float32)
    level = schedule.levels(times(1), x0)[1].item()
    assert level == pytest.approx(math.sqrt(1 - slow_alpha_bar(1.0)[1]), rel=1e-6)
    x_t = schedule.noised(x0, noise, times(1))
    assert x_t.dtype == torch.float32
    torch.testing.assert_close(schedule.noise_from_x0(x_t, x0, times(1)), noise, rtol=0, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 7, 10, 33, 100, 999, 1000])
def test_strides_fall_evenly_from_the_noise_to_the_data(steps):
    strided = Schedule(1000).strided(steps)
    gaps = [a - b for a, b in itertools.pairwise(strided)]
    assert (strided[0], strided[-1], len(strided)) == (1000, 0, steps + 1)
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_more_steps_than_the_schedule_has_are_refused(steps):
    with pytest.raises(ValueError, match="1 to 1000"):
        Schedule(1000).strided(steps)


def bayes(schedule, x0, x_t, t, s):
    """Mean and variance of x_s given x_0 and x_t: the product of the two Gaussian densities, precisions added."""
    table = schedule.table.tolist()
    kept = table[t] / table[s]
    prior_mean, prior_variance = math.sqrt(table[s]) * x0, 1 - table[s]
    seen_precision = kept / (1 - kept)  # of x_s, from x_t = √kept x_s + √(1 − kept) ε
    if prior_variance == 0:
        return prior_mean, 0.0
    variance = 1 / (1 / prior_variance + seen_precision)
    return variance * (prior_mean / prior_variance + seen_precision * x_t / math.sqrt(kept)), variance


@pytest.mark.parametrize("exponent", [1.0, 3.0])
@pytest.mark.parametrize(("t", "s"), STRIDES)
def test_a_strided_step_of_ddpm_is_the_posterior_that_bayes_gives(t, s, exponent):
    schedule, x0, x_t = Schedule(1000, exponent), 0.7, -1.3
    mean, variance = bayes(schedule, x0, x_t, t, s)
    at = (torch.tensor([[x_t]]).double(), torch.tensor([[x0]]).double(), times(t), times(s))
    found_mean = schedule.ddpm_step(*at, None).item()
    found_level = schedule.ddpm_step(*at, torch.ones(1, 1).double()).item() - found_mean
    assert found_mean == pytest.approx(mean, rel=1e-7)
    assert found_level == pytest.approx(math.sqrt(variance), rel=1e-6, abs=1e-9)


def test_the_posterior_with_the_true_x0_keeps_the_marginal_whatever_the_stride():
    """x_s drawn from q(x_s | x_t, x_0) after x_t from q(x_t | x_0) is distributed as q(x_s | x_0)."""
    schedule, x0 = Schedule(), torch.full((1, 200_000), 1.5, dtype=torch.float64)
    x_t = schedule.noised(x0, normal(1, 200_000), times(800))
    x_s = schedule.ddpm_step(x_t, x0, times(800), times(300), normal(1, 200_000, seed=1))
    assert x_s.mean().item() == pytest.approx(1.5 * math.sqrt(schedule.table[300]), abs=0.01)
    assert x_s.var().item() == pytest.approx(1 - schedule.table[300].item(), abs=0.01)


def test_ddim_keeps_the_marginal():
    schedule, x0 = Schedule(), torch.full((1, 200_000), 1.5, dtype=torch.float64)
    x_t = schedule.noised(x0, normal(1, 200_000), times(800))
    x_s = schedule.ddim_step(x_t, x0, times(800), times(300))
    assert x_s.mean().item() == pytest.approx(1.5 * math.sqrt(schedule.table[300]), abs=0.01)
    assert x_s.var().item() == pytest.approx(1 - schedule.table[300].item(), abs=0.01)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("steps", [1, 10, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_deterministic_ddim_with_the_true_x0_returns_it_bit_for_bit(exponent, steps, dtype):
    schedule, x0 = Schedule(1000, exponent), normal(2, 5, 3, dtype=dtype)
    noise = normal(2, 5, 3, seed=1, dtype=dtype)
    x = schedule.noised(x0, noise, times(1000, 1000))
    strided = schedule.strided(steps)
    for t, s in itertools.pairwise(strided):
        x = schedule.ddim_step(x, x0, times(t, t), times(s, s))
        if s > 0:  # and on the way it stays on the line from the noise to x_0
            torch.testing.assert_close(x, schedule.noised(x0, noise, times(s, s)), rtol=0, atol=2e-3)
    assert x.equal(x0)


def test_steps_of_examples_at_different_times_are_those_of_each_alone():
    schedule, x_t, x0, noise = Schedule(), normal(2, 4, 3), normal(2, 4, 3, seed=1), normal(2, 4, 3, seed=2)
    t_B, s_B = times(900, 20), times(450, 0)
    together = schedule.ddpm_step(x_t, x0, t_B, s_B, noise)
    for i in range(2):
        one = slice(i, i + 1)
        torch.testing.assert_close(together[one], schedule.ddpm_step(x_t[one], x0[one], t_B[one], s_B[one], noise[one]))


MASK = torch.tensor([[True] * 6, [True, False, True, True, False, False], [False, False, True, False, False, False]])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_noise_has_no_mean_over_the_real_cells_and_none_at_padding(dimensions):
    noise = centred_normal(MASK, dimensions, torch.Generator().manual_seed(0))
    assert noise.shape == (3, 6, dimensions)
    assert (noise[~MASK] == 0).all()
    for b in range(3):
        torch.testing.assert_close(noise[b, MASK[b]].mean(dim=0), torch.zeros(dimensions), rtol=0, atol=1e-6)
    assert (noise[0] != 0).all()
    assert (noise[2] == 0).all()  # one cell is its own mean


def test_the_noise_of_a_small_neighbourhood_has_the_variance_of_the_projection():
    mask = torch.tensor([[True, True, True, False]]).expand(50_000, 4)
    noise = centred_normal(mask, 2, torch.Generator().manual_seed(0))
    assert noise[:, :3].var().item() == pytest.approx(1 - 1 / 3, abs=0.01)
    covariance = (noise[:, 0, 0] * noise[:, 1, 0]).mean().item()
    assert covariance == pytest.approx(-1 / 3, abs=0.01)


def test_centring_ignores_what_padding_holds():
    x = normal(3, 6, 2)
    clean = centred(x, MASK)
    spoilt = centred(x.masked_fill(~MASK[..., None], math.nan), MASK)
    assert clean.equal(spoilt)
    torch.testing.assert_close(clean[1, MASK[1]], x[1, MASK[1]] - x[1, MASK[1]].mean(dim=0))
    torch.testing.assert_close(centred(clean, MASK), clean)
    nobody = centred(x[:1], torch.zeros(1, 6, dtype=torch.bool))
    assert (nobody == 0).all()


def test_diffusion_of_centred_positions_stays_centred():
    schedule, mask = Schedule(), MASK[:2]
    generator = torch.Generator().manual_seed(0)
    x0 = centred(normal(2, 6, 2, dtype=torch.float32), mask)
    x = schedule.noised(x0, centred_normal(mask, 2, generator), times(1000, 1000))
    strided = schedule.strided(10)
    for t, s in itertools.pairwise(strided):
        x = schedule.ddpm_step(x, x0, times(t, t), times(s, s), centred_normal(mask, 2, generator))
        torch.testing.assert_close(x.sum(dim=1), torch.zeros(2, 2), rtol=0, atol=1e-5)
        assert (x[~mask] == 0).all()
