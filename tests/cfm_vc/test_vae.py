import numpy as np
import pytest
import torch
from scipy import stats

from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.model.marginal_nb import marginal_negative_binomial
from pipeline.cfm_vc.model.vae import Vae, VaeObjective, shuffle_within
from pipeline.data.cells import Cells, pointers
from tests.cfm_vc.small_models import small_vae

CPU = torch.device("cpu")


def vae(**changes) -> Vae:
    fields = {"hidden": [16, 8], "decoder_hidden": [8], "decoder_link": "exponential", "normalised_total": 100.0}
    torch.manual_seed(0)
    return small_vae(**(fields | changes))


def cells_of(x_NG, cell_type=None, batch=None) -> Cells:
    x_NG = np.asarray(x_NG, np.int32)
    rows, genes = np.nonzero(x_NG)
    n = len(x_NG)
    zeros = np.zeros(n, np.int64)
    return Cells(
        genes=x_NG.shape[1],
        names=np.array([f"cell{i}" for i in range(n)], object),
        indptr=pointers(np.bincount(rows, minlength=n)),
        indices=genes.astype(np.int32),
        counts=x_NG[rows, genes],
        covariates={
            "perturbation": zeros,
            "cell_type": zeros if cell_type is None else np.asarray(cell_type, np.int64),
            "batch": zeros if batch is None else np.asarray(batch, np.int64),
        },
        library_size=x_NG.sum(1).astype(np.int64),
    )


def batch_of(cells: Cells):
    return next(ResidentCounts(cells, len(cells), CPU).epoch(0))


def test_the_loss_is_the_negative_elbo_by_an_independent_likelihood():
    model = vae().eval()
    x = np.random.default_rng(0).poisson(2.0, (5, 12))
    cells = cells_of(x)
    batch = batch_of(cells)
    losses = VaeObjective(model, kl_weight=0.5)(batch, torch.Generator().manual_seed(3))
    # The same draws again, and scipy's likelihood.
    generator = torch.Generator().manual_seed(3)
    q = model.encode(torch.from_numpy(cells.dense(slice(None))), batch.cell_type_B, batch.batch_B)
    z_int = q.int_mean_BI + torch.randn(5, 4, generator=generator) * (0.5 * q.int_log_variance_BI).exp()
    z_tech = q.tech_mean_BT + torch.randn(5, 2, generator=generator) * (0.5 * q.tech_log_variance_BT).exp()
    z_tech = z_tech[shuffle_within(batch.batch_B, generator)]
    mean = model.decode(z_int, z_tech, batch.library_B).exp().detach().double().numpy()
    theta = model.log_theta_G.exp().detach().double().numpy()
    log_likelihood = stats.nbinom.logpmf(x, theta, theta / (theta + mean)).sum(1).mean()
    assert losses["reconstruction"].item() == pytest.approx(-log_likelihood, rel=1e-5)
    normal, kl = torch.distributions.Normal, torch.distributions.kl_divergence
    kl_int = kl(normal(q.int_mean_BI, (0.5 * q.int_log_variance_BI).exp()), normal(0.0, 1.0)).sum(1).mean()
    kl_tech = (
        kl(normal(q.tech_mean_BT, (0.5 * q.tech_log_variance_BT).exp()), normal(q.tech_prior_BT, 1.0)).sum(1).mean()
    )
    assert losses["kl_int"].item() == pytest.approx(kl_int.item(), rel=1e-4)
    assert losses["kl_tech"].item() == pytest.approx(kl_tech.item(), rel=1e-4)
    assert losses["loss"].item() == pytest.approx(-log_likelihood + 0.5 * (kl_int + kl_tech).item(), rel=1e-5)


def test_decoded_means_add_up_to_the_library_size():
    mean = vae().decode(torch.randn(3, 4), torch.randn(3, 2), torch.tensor([10.0, 1e5, 0.0])).exp()
    torch.testing.assert_close(mean.sum(1), torch.tensor([10.0, 1e5, 1.0]))


def test_sequencing_depth_does_not_enter_the_latents():
    model = vae().eval()
    x = torch.tensor([[3.0, 1, 0, 6, 0, 0, 2, 0, 0, 0, 0, 1]])
    codes = torch.zeros(1, dtype=torch.int64)
    for shallow, deep in zip(model.encode(x, codes, codes), model.encode(1000 * x, codes, codes), strict=True):
        torch.testing.assert_close(shallow, deep)


def test_counts_from_zero_to_a_hundred_thousand_give_finite_losses_and_gradients():
    x = np.zeros((4, 12), int)
    x[1] = 100_000
    x[2, 0] = 100_000
    x[3, 5] = 1
    objective = VaeObjective(vae(), 1.0)
    losses = objective(batch_of(cells_of(x)), torch.Generator().manual_seed(0))
    losses["loss"].backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(torch.isfinite(weight.grad).all() for weight in objective.parameters())


def test_normalising_the_non_zero_counts_is_normalising_the_dense_ones():
    model = vae()
    cells = cells_of([[0] * 12, [100_000] * 12, [*range(12)], [0] * 11 + [1]])
    x = torch.from_numpy(cells.dense(slice(None)))
    expected = torch.log1p(x / x.sum(1, keepdim=True).clamp(min=1) * 100)
    torch.testing.assert_close(model.normalised(batch_of(cells)), expected)


def test_log_variances_are_clamped():
    model = vae().eval()
    with torch.no_grad():
        model.int_head.bias[4:] = 1e4
        model.tech_head.bias[2:] = -1e4
    codes = torch.zeros(2, dtype=torch.int64)
    q = model.encode(torch.ones(2, 12), codes, codes)
    assert (q.int_log_variance_BI == 10).all()
    assert (q.tech_log_variance_BT == -10).all()


def test_one_batch_has_no_term_of_batches():
    x = np.random.default_rng(0).poisson(2.0, (40, 12))
    one, several = (VaeObjective(vae(batches=batches).eval(), 0.5, 10.0) for batches in (1, 2))
    losses = one(batch_of(cells_of(x)), torch.Generator().manual_seed(3))
    assert "batch" not in losses
    plain = VaeObjective(one.model, 0.5)(batch_of(cells_of(x)), torch.Generator().manual_seed(3))
    assert torch.equal(losses["loss"], plain["loss"])
    assert "batch" in several(batch_of(cells_of(x, batch=np.arange(40) % 2)), torch.Generator().manual_seed(3))


def test_cell_type_conditions_z_int_alone_and_batch_z_tech_alone():
    model = vae().eval()
    x, zero, one = torch.ones(1, 12), torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.int64)
    base, other_type, other_batch = (model.encode(x, *codes) for codes in ((zero, zero), (one, zero), (zero, one)))
    assert torch.equal(base.tech_mean_BT, other_type.tech_mean_BT)
    assert not torch.equal(base.int_mean_BI, other_type.int_mean_BI)
    assert torch.equal(base.int_mean_BI, other_batch.int_mean_BI)
    assert not torch.equal(base.tech_mean_BT, other_batch.tech_mean_BT)


def test_categories_never_seen_are_encoded_as_unknown():
    model = vae().eval()
    x, new = torch.ones(1, 12), torch.tensor([99])
    q = model.encode(x, new, new)
    assert all(torch.isfinite(part).all() for part in q)
    assert torch.equal(q.int_mean_BI, model.encode(x, torch.tensor([3]), torch.tensor([2])).int_mean_BI)


def test_encoding_in_eval_mode_is_deterministic_and_needs_no_generator():
    model = vae().eval()
    codes = torch.zeros(2, dtype=torch.int64)
    x = torch.ones(2, 12)
    assert torch.equal(model.encode(x, codes, codes).int_mean_BI, model.encode(x, codes, codes).int_mean_BI)


def test_a_shuffle_within_groups_is_a_permutation_that_keeps_groups_and_mixes_them():
    group = torch.tensor([2, 0, 1, 0, 2, 2, 0, 7] * 20)
    permutation = shuffle_within(group, torch.Generator().manual_seed(0))
    assert torch.equal(permutation.sort().values, torch.arange(len(group)))
    assert torch.equal(group[permutation], group)
    assert (permutation != torch.arange(len(group))).float().mean() > 0.9


@pytest.mark.parametrize("link", ["exponential", "softplus"])
def test_the_start_is_the_marginal_model(link):
    x = np.random.default_rng(0).negative_binomial(2, 0.1, (300, 12)) * np.arange(1, 13)
    cells = cells_of(x)
    log_share, log_theta = marginal_negative_binomial([cells], cells.genes)
    model = vae(decoder_hidden=[], decoder_link=link)
    model.start_from(torch.from_numpy(log_share), torch.from_numpy(log_theta))
    torch.nn.init.zeros_(model.linear_decoder.weight)
    mean = model.decode(torch.randn(1, 4), torch.randn(1, 2), torch.tensor([float(x.sum())])).exp()
    np.testing.assert_allclose(mean.detach().numpy()[0], x.sum(0), rtol=0.01)


def test_the_marginal_model_finds_the_share_and_theta_that_made_the_counts():
    random = np.random.default_rng(0)
    share, theta = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.5, 2.0, 10.0, 5.0])
    depth = random.integers(500, 2000, 8000)
    x = random.poisson(random.gamma(theta, 1 / theta, (8000, 4)) * share * depth[:, None])
    cells = cells_of(x)
    object.__setattr__(cells, "library_size", depth.astype(np.int64))  # the depth the counts were drawn at
    log_share, log_theta = marginal_negative_binomial([cells], cells.genes)
    np.testing.assert_allclose(np.exp(log_share), share, rtol=0.05)
    np.testing.assert_allclose(np.exp(log_theta), theta, rtol=0.15)


def test_blocks_of_cells_have_the_marginal_model_of_all_together():
    cells = cells_of(np.random.default_rng(0).negative_binomial(2, 0.01, (300, 12)))
    together = marginal_negative_binomial([cells], 12)
    apart = marginal_negative_binomial((cells.select(slice(first, first + 70)) for first in range(0, 300, 70)), 12)
    for found, expected in zip(apart, together, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_gene_without_counts_has_a_small_share_and_a_finite_theta():
    log_share, log_theta = marginal_negative_binomial([cells_of([[3, 0, 1], [2, 0, 4]])], 3)
    assert np.isfinite(log_share).all()
    assert np.isfinite(log_theta).all()
    assert np.exp(log_share).sum() == pytest.approx(1)
    assert log_share.argmin() == 1


def test_with_a_linear_decoder_a_shift_of_a_latent_is_the_same_log_fold_change_from_anywhere():
    """Up to the normalisation of the softmax, which is one number per cell."""
    shift, tech = torch.randn(1, 4), torch.zeros(3, 2)
    library = torch.full((3,), 100.0)

    def log_fold_change(model, z):
        change = model.decode(z + shift, tech, library) - model.decode(z, tech, library)
        return change - change.mean(1, keepdim=True)

    z = torch.randn(3, 4)
    linear = log_fold_change(vae(decoder_hidden=[]), z)
    torch.testing.assert_close(linear, linear[:1].expand_as(linear))
    bent = log_fold_change(vae(decoder_hidden=[8]), z)
    assert (bent - bent[:1]).abs().max() > 1e-3


def test_with_the_softplus_link_a_step_adds_where_a_gene_is_high_and_multiplies_where_it_is_low():
    """Shares before they are normalised: from u to u + 1, far up and far down."""
    model = vae(decoder_hidden=[], decoder_link="softplus")
    with torch.no_grad():
        model.linear_decoder.weight.zero_()
        model.linear_decoder.weight[:, 0] = 1.0
        model.linear_decoder.bias.zero_()
        model.log_scale_G.normal_()
    z = torch.zeros(4, 4)
    z[:, 0] = torch.tensor([50.0, 51.0, -50.0, -49.0])
    log_rate = model.logits(z, torch.zeros(4, 2)).double()
    scale = model.log_scale_G.detach().double().exp()
    torch.testing.assert_close(log_rate[1].exp() - log_rate[0].exp(), scale, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(log_rate[3] - log_rate[2], torch.ones(12, dtype=torch.float64), rtol=1e-5, atol=1e-5)
