import pytest
import torch

from pipeline.cfm_vc.model.energy_distance import grouped_energy_distance
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.flow_matching import FlowBatch, FlowObjective
from tests.cfm_vc.small_models import small_field


def field(seed: int = 0) -> FlowField:
    """A field in eval mode with random weights everywhere, so that its loss depends on all of them."""
    generator = torch.Generator().manual_seed(seed)
    model = small_field(dimensions=3, cell_types=2, hidden=[16], covariate_embedding=2, basis=3).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=generator))
    return model


def pairs(cells: int = 12) -> FlowBatch:
    generator = torch.Generator().manual_seed(1)
    p = torch.zeros(cells, 2)
    p[cells // 3 :, 1] = 1
    return FlowBatch(
        rows=torch.arange(cells),
        source_BD=torch.randn((cells, 3), generator=generator),
        target_BD=torch.randn((cells, 3), generator=generator) + 1,
        p_BP=p,
        cell_type_B=torch.arange(cells) % 2,
        batch_B=torch.zeros(cells, dtype=torch.int64),
        group_B=torch.arange(cells) // 3,
    )


def test_the_loss_is_its_formula():
    model, batch = field(), pairs()
    losses = FlowObjective(model, distribution_weight=0.3)(batch, torch.Generator().manual_seed(5))
    t = torch.rand(12, generator=torch.Generator().manual_seed(5))
    condition = model.condition(batch.p_BP, batch.cell_type_B, batch.batch_B)
    errors, reached = [], []
    z = torch.stack([(1 - t[i]) * batch.source_BD[i] + t[i] * batch.target_BD[i] for i in range(12)])
    v = model(z, t, condition)
    for i in range(12):
        errors.append(((v[i] - (batch.target_BD[i] - batch.source_BD[i])) ** 2).sum())
        reached.append(z[i] + (1 - t[i]) * v[i])
    distance = grouped_energy_distance(torch.stack(reached), batch.target_BD, batch.group_B)
    torch.testing.assert_close(losses["flow_matching"], sum(errors) / 12)
    torch.testing.assert_close(losses["distribution"], distance)
    torch.testing.assert_close(losses["loss"], losses["flow_matching"] + 0.3 * losses["distribution"])


def test_without_a_weight_there_is_no_distance():
    losses = FlowObjective(field(), 0.0)(pairs(), torch.Generator().manual_seed(0))
    assert set(losses) == {"loss", "flow_matching"}
    assert torch.equal(losses["loss"], losses["flow_matching"])


def test_both_parts_have_a_gradient_in_every_weight_of_the_field():
    for part in ("flow_matching", "distribution"):
        model = field()
        FlowObjective(model, 1.0)(pairs(), torch.Generator().manual_seed(0))[part].backward()
        silent = [name for name, weight in model.named_parameters() if not weight.grad.abs().sum() > 0]
        assert silent == [], part


def test_the_distance_alone_moves_a_population_onto_its_target():
    batch = pairs(60)
    model = field()
    objective = FlowObjective(model, 1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    values = []
    for step in range(60):
        distance = objective(batch, torch.Generator().manual_seed(step))["distribution"]
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
        values.append(distance.item())
    assert sum(values[-10:]) < 0.5 * sum(values[:10])


def test_a_field_that_is_the_straight_line_has_no_loss():
    class Straight(torch.nn.Module):
        def condition(self, *_):
            return None

        def forward(self, z, _t, _condition):
            return torch.full_like(z, 2.0)

    batch = pairs()
    moved = FlowBatch(**(vars(batch) | {"target_BD": batch.source_BD + 2.0}))
    losses = FlowObjective(Straight(), 1.0)(moved, torch.Generator().manual_seed(0))
    assert losses["flow_matching"].item() == pytest.approx(0, abs=1e-10)
    assert losses["distribution"].item() == pytest.approx(0, abs=1e-5)
