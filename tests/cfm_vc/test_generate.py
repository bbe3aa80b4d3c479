import pytest
import torch

from pipeline.cfm_vc.model.generate import generate, sample_counts
from pipeline.core.errors import ExpectedError
from pipeline.nn.distributions import sample_gaussian
from tests.cfm_vc.small_models import small_field, small_vae

CELLS, GENES = 5, 10
ZERO = torch.zeros(CELLS, dtype=torch.int64)


def models():
    torch.manual_seed(0)
    sizes = {"cell_types": 2, "covariate_embedding": 2}
    vae = small_vae(genes=GENES, latent_intrinsic=3, normalised_total=100.0, **sizes).eval()
    field = small_field(dimensions=3, **sizes).eval()
    with torch.no_grad():
        for weight in field.parameters():
            weight.normal_(0, 0.3)
    return vae, field


def counts():
    return torch.poisson(torch.full((CELLS, GENES), 3.0), generator=torch.Generator().manual_seed(1))


def made(source="control", p=(1.0, 0.0), x=None, cell_type=ZERO, batch=ZERO, seed=0, models=models, names=None):
    vae, field = models()
    x = counts() if x is None else x
    doses = torch.tensor(p).expand(len(x), -1)
    generator = torch.Generator().manual_seed(seed)
    return generate(vae, field, x, cell_type, batch, doses, source=source, steps=5, generator=generator, names=names)


def test_a_cell_keeps_its_technical_latent_and_its_library_size():
    vae, _ = models()
    for source in ("control", "noise"):
        generated = made(source)
        assert torch.equal(generated.tech_BT, vae.encode(counts(), ZERO, ZERO).tech_mean_BT)
        torch.testing.assert_close(generated.log_mean_BG.exp().sum(1), counts().sum(1))


def test_from_control_the_steps_start_at_a_sample_of_the_cells_own_latent():
    vae, field = models()
    posterior = vae.encode(counts(), ZERO, ZERO)
    random = torch.Generator().manual_seed(0)
    z = sample_gaussian(posterior.int_mean_BI, posterior.int_log_variance_BI, random)
    condition = field.condition(torch.tensor([[1.0, 0.0]]).expand(CELLS, -1), ZERO, ZERO)
    for step in range(5):
        z = z + 0.2 * field(z, torch.full((CELLS,), 0.2 * step), condition)
    torch.testing.assert_close(made().int_BI, z)
    assert not torch.equal(made(seed=0).int_BI, made(seed=1).int_BI)


def test_noise_depends_on_the_generator_alone():
    assert torch.equal(made("noise", seed=1).int_BI, made("noise", seed=1).int_BI)
    assert not torch.equal(made("noise", seed=1).int_BI, made("noise", seed=2).int_BI)


def test_perturbations_differ_and_a_control_is_reconstructed_where_the_base_stands_still():
    assert not torch.allclose(made(p=(1.0, 0.0)).int_BI, made(p=(0.0, 1.0)).int_BI)

    def still():
        vae, field = models()
        torch.nn.init.zeros_(field.base_head.weight)
        torch.nn.init.zeros_(field.base_head.bias)
        return vae, field

    generated = made(p=(0.0, 0.0), models=still)
    assert torch.equal(generated.int_BI, generated.own_BI)


def test_unseen_cell_types_and_batches_and_empty_cells_have_an_answer():
    new = torch.full((CELLS,), 99)
    x = counts()
    x[0] = 0
    x[1] = 100_000
    generated = made(x=x, cell_type=new, batch=new)
    assert torch.isfinite(generated.log_mean_BG).all()


def test_sampled_counts_are_whole_and_follow_the_generator():
    vae, _ = models()
    for source in ("control", "noise"):
        draws = [
            next(sample_counts(vae, made(source), counts(), source, torch.Generator().manual_seed(seed)))
            for seed in (3, 3, 4)
        ]
        assert torch.equal(draws[0], draws[0].round())
        assert (draws[0] >= 0).all()
        assert torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[0], draws[2])


def test_a_broken_field_is_an_error_that_names_the_cells():
    def broken():
        vae, field = models()
        with torch.no_grad():
            field.base_head.bias.fill_(float("nan"))
        return vae, field

    with pytest.raises(ExpectedError, match=r"step 1 of 5.*c0, c1"):
        made(models=broken, names=[f"c{i}" for i in range(CELLS)])
