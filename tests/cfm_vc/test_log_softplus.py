import numpy as np
import pytest
import torch

from pipeline.cfm_vc.model.log_softplus import log_softplus

U = torch.tensor([-1e30, -300.0, -100.0, -20.0, -15.1, -14.9, -8.0, -1.0, 0.0, 1.0, 8.0, 30.0, 100.0, 1e30])


def reference(u: float) -> float:
    """In float64, from log1p; below −30 two terms of the series suffice; −80 is the floor."""
    u = max(u, -80.0)
    return u - np.exp(u) / 2 if u < -30 else float(np.log(np.logaddexp(0, u)))


def test_equals_the_logarithm_of_the_softplus_in_both_tails():
    np.testing.assert_allclose(log_softplus(U).numpy(), [reference(float(u)) for u in U], rtol=1e-5, atol=1e-6)


def test_gradient_is_the_sigmoid_over_the_softplus_and_finite_everywhere():
    u = U.clone().requires_grad_()
    (slope,) = torch.autograd.grad(log_softplus(u).sum(), u)
    expected = [1.0 if v < -30 else float(1 / (1 + np.exp(-v)) / np.logaddexp(0, v)) for v in U.tolist()]
    np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_agrees_with_finite_differences(seed):
    u = 4 * torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert torch.autograd.gradcheck(log_softplus, (u.requires_grad_(),))
