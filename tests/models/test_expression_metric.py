import torch

from pipeline.models.expression_metric import expression_metric
from pipeline.models.flow import FlowField
from pipeline.models.generate import generate
from pipeline.models.vae import Vae

GENES, DIMENSIONS = 40, 5


def vae(**changes) -> Vae:
    torch.manual_seed(0)
    model = Vae(GENES, 2, 2, DIMENSIONS, 2, [8], [], "softplus", 2, 0.1, 500.0).eval()
    with torch.no_grad():
        model.linear_decoder.weight.mul_(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 1.0]))
        model.tech_head.weight.zero_()
    return model


def expression(model, z):
    library = torch.full((len(z),), model.normalised_total)
    return model.decode(z, torch.zeros(len(z), 2), library).exp().log1p()


def test_distances_are_those_of_expression_to_first_order():
    model = vae()
    metric = expression_metric(model)
    step = 0.05 * torch.randn(200, DIMENSIONS)
    made = (expression(model, step) - expression(model, torch.zeros_like(step))).norm(dim=1)
    measured, plain = (step @ metric.T).norm(dim=1), step.norm(dim=1)
    ratio = made / measured
    assert ratio.std() / ratio.mean() < 0.05
    assert (made / plain).std() / (made / plain).mean() > 0.2
    assert torch.linalg.svdvals(metric).square().mean() - 1 < 1e-5


def test_a_dimension_that_the_decoder_ignores_keeps_a_way_back():
    model = vae()
    with torch.no_grad():
        model.linear_decoder.weight[:, 0] = 0
    stretch = torch.linalg.svdvals(expression_metric(model))
    torch.testing.assert_close(stretch[-1] / stretch[0], torch.tensor(0.01))
    with torch.no_grad():
        model.linear_decoder.weight.zero_()
    assert torch.equal(expression_metric(model), torch.eye(DIMENSIONS))


def test_the_field_goes_there_and_back():
    field = FlowField(DIMENSIONS, 2, 2, 2, [8], 4, 2, 0.1, 4, 2)
    field.measure_by(expression_metric(vae()))
    z = torch.randn(7, DIMENSIONS)
    torch.testing.assert_close(field.intrinsic(field.coordinates(z)), z)
    torch.testing.assert_close(field.coordinates(z), z @ field.metric_DD.T)


def test_cells_are_carried_in_the_fields_coordinates():
    """A field that moves every cell by a constant in its own coordinates moves z_int by that, taken back."""
    model = vae()
    field = FlowField(DIMENSIONS, 2, 2, 2, [8], 4, 2, 0.1, 4, 2).eval()
    field.measure_by(expression_metric(model))
    shift = torch.arange(1.0, DIMENSIONS + 1)
    x, zero = torch.poisson(torch.full((6, GENES), 3.0)), torch.zeros(6, dtype=torch.int64)
    options = {"source": "control", "steps": 4}

    def carried():
        generator = torch.Generator().manual_seed(0)
        return generate(model, field, x, zero, zero, torch.zeros(6, 2), generator=generator, **options)

    before = carried()
    assert torch.equal(before.log_mean_BG, before.start_log_mean_BG)
    with torch.no_grad():
        field.base_head.bias.copy_(shift)
    expected = before.int_BI + torch.linalg.solve(field.metric_DD, shift)
    torch.testing.assert_close(carried().int_BI, expected, rtol=1e-4, atol=1e-5)
