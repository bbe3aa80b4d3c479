import math

import pytest
import torch

from pipeline.cfm_vc.model.ode import METHODS, integrate
from pipeline.core.errors import ExpectedError


def spiral(z, t):
    """A linear field that depends on time too."""
    return torch.stack([-2 * z[:, 1] + t, 2 * z[:, 0] - 0.5 * z[:, 1]], dim=1)


Z0 = torch.tensor([[1.0, 0.0], [0.3, -2.0]], dtype=torch.float64)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_the_error_falls_with_the_order_of_the_method(method, order):
    exact = integrate(spiral, Z0, 2000, "rk4")
    errors = [(integrate(spiral, Z0, steps, method) - exact).abs().max().item() for steps in (20, 40)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


def test_the_closed_form_of_exponential_growth_is_reached():
    z = integrate(lambda z, _t: z, torch.ones(1, 1, dtype=torch.float64), 50, "rk4")
    assert z.item() == pytest.approx(math.e, rel=1e-7)


def test_euler_is_the_default_and_evaluates_the_field_at_the_start_of_each_step():
    times = []

    def field(z, t):
        times.append(t[0].item())
        return torch.ones_like(z)

    z = integrate(field, torch.zeros(2, 3), 4)
    assert times == [0, 0.25, 0.5, 0.75]
    torch.testing.assert_close(z, torch.ones(2, 3))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_an_error_naming_step_cells_and_cause(method, bad):
    def field(z, t):
        v = torch.zeros_like(z)
        v[1] = torch.where(t[1] > 0.49, bad, 0.0)
        return v

    with pytest.raises(ExpectedError) as caught:
        integrate(field, torch.zeros(3, 2), 4, method, names=["a", "broken", "c"])
    message = str(caught.value)
    assert "step " in message
    assert "of 4" in message
    assert "1 of 3 cells (broken)" in message
    assert "likely cause" in message


def test_latents_that_start_broken_are_told_from_a_broken_field():
    with pytest.raises(ExpectedError, match=r"starting latents.*row 0"):
        integrate(lambda z, _t: z, torch.tensor([[math.nan]]), 3)


@pytest.mark.parametrize(
    ("method", "steps", "tolerance"), [("euler", 4000, 5e-3), ("midpoint", 4000, 1e-5), ("rk4", 2000, 1e-6)]
)
def test_every_method_reaches_what_an_adaptive_solver_of_others_reaches(method, steps, tolerance):
    """On a velocity field in float64, whose fastest feature of time turns a thousand times as fast as its slowest.

    The reference is torchdiffeq's dopri5 at a tight tolerance.
    """
    from torchdiffeq import odeint

    from tests.cfm_vc.small_models import small_field

    torch.manual_seed(0)
    field = small_field(dimensions=6, hidden=[32, 32], time_embedding=8, covariate_embedding=4, basis=3)
    field = field.double().eval()
    with torch.no_grad():
        for weight in field.parameters():
            weight.normal_(0, 0.3)
        codes = torch.tensor([0, 1, 2, 3])
        condition = field.condition(
            torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0]]).double(), codes, codes.clamp(max=2)
        )
        start = torch.randn(4, 6, dtype=torch.float64)

        def velocity(t, z):
            return field(z, t.expand(len(z)), condition)

        reference = odeint(velocity, start, torch.tensor([0.0, 1.0]).double(), method="dopri5", rtol=1e-9, atol=1e-11)
        reached = integrate(lambda z, t: field(z, t, condition), start, steps, method)
    assert (reference[-1] - start).abs().max() > 0.5
    torch.testing.assert_close(reached, reference[-1], rtol=0, atol=tolerance)
