"""Level and scale of a window: taken out, put back, and what a model in between cannot see."""

import pytest
import torch

from pipeline.mole.model.instance_norm import ReversibleNorm, WindowOffset

B, C, L = 4, 3, 9


def windows():
    return 3 * torch.randn(B, C, L, generator=torch.Generator().manual_seed(0)) + 7


def learned(centred=True):
    norm = ReversibleNorm(C, centred)
    with torch.no_grad():
        norm.scale_C.copy_(torch.tensor([0.5, -1.0, 2.0]))
        norm.shift_C.copy_(torch.tensor([0.1, 0.0, -3.0]))
    return norm


def norms():
    return {
        "last": WindowOffset("last"),
        "mean": WindowOffset("mean"),
        "plain": ReversibleNorm(C),
        "learned": learned(),
    }


@pytest.mark.parametrize("norm", [*norms().values(), learned(centred=False)], ids=[*norms(), "not centred"])
def test_what_is_taken_out_is_put_back(norm):
    x = windows()
    inside, level = norm(x)
    torch.testing.assert_close(norm.restore(inside, level), x)


@pytest.mark.parametrize("norm", norms().values(), ids=norms())
def test_level_is_not_seen_inside_and_scale_by_an_offset_alone(norm):
    x = windows()
    inside = norm(x)[0]
    torch.testing.assert_close(norm(x + 100)[0], inside, rtol=1e-3, atol=1e-3)
    scaled = norm(5 * x)[0]
    assert torch.allclose(scaled, inside, rtol=1e-3, atol=1e-3) == isinstance(norm, ReversibleNorm)


def test_a_plain_norm_leaves_mean_0_and_variance_1_and_a_constant_window_finite():
    inside = ReversibleNorm(C)(windows())[0]
    torch.testing.assert_close(inside.mean(2), torch.zeros(B, C), atol=1e-5, rtol=0)
    torch.testing.assert_close(inside.var(2, correction=0), torch.ones(B, C), atol=1e-4, rtol=0)
    flat = ReversibleNorm(C)(torch.full((1, C, L), 4.0))[0]
    assert (flat == 0).all()


def test_an_offset_is_the_last_value_or_the_mean():
    x = windows()
    torch.testing.assert_close(WindowOffset("last")(x)[0][:, :, -1], torch.zeros(B, C))
    torch.testing.assert_close(WindowOffset("mean")(x)[0].mean(2), torch.zeros(B, C), atol=1e-5, rtol=0)


def test_a_norm_that_is_not_centred_divides_by_the_same_deviation_and_leaves_the_level():
    x = windows()
    centred, level = ReversibleNorm(C)(x)
    inside = ReversibleNorm(C, centred=False)(x)[0]
    torch.testing.assert_close(inside, centred + level.offset_BC1 / level.deviation_BC1)
