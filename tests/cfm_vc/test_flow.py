import hypothesis
import hypothesis.strategies as st
import pytest
import torch

from pipeline.cfm_vc.model.flow import FlowField
from tests.cfm_vc.small_models import small_field

CELL_TYPES, BATCHES, TREATMENTS, DIMENSIONS = 4, 2, 3, 5
SIZES = {"dimensions": DIMENSIONS, "treatments": TREATMENTS, "cell_types": CELL_TYPES, "batches": BATCHES}


def field(seed: int = 0, scale: float = 1.0) -> FlowField:
    """A field with random weights everywhere, those that training starts at zero included."""
    torch.manual_seed(seed)
    model = small_field(**SIZES, hidden=[16, 12], time_embedding=8, perturbation_embedding=6, basis=4).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, scale)
    return model


def bits(x):
    return x.detach().view(torch.int32)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    seed=st.integers(0, 2**20),
    log_scale=st.floats(-6, 6),
    cell_type=st.integers(0, CELL_TYPES + 1),
    batch=st.integers(0, BATCHES + 1),
    negative_zero=st.booleans(),
)
def test_a_control_follows_the_base_field_bit_for_bit(seed, log_scale, cell_type, batch, negative_zero):
    model = field(seed, 10**log_scale)
    if negative_zero:  # a base field of −0: adding +0 to it would change its sign bit
        with torch.no_grad():
            model.base_head.weight.zero_()
            model.base_head.bias.fill_(-0.0)
    z, t = torch.randn(3, DIMENSIONS), torch.rand(3)
    p = torch.zeros(3, TREATMENTS)
    p[1, 0] = 1.0  # a perturbed cell in the same minibatch
    condition = model.condition(p, torch.full((3,), cell_type), torch.full((3,), batch))
    assert (condition.coefficient_BJ[[0, 2]] == 0).all()
    base, _ = model.heads(z, t, condition.context_BC)
    velocity = model(z, t, condition)
    assert torch.equal(bits(velocity)[[0, 2]], bits(base)[[0, 2]])


def test_a_perturbation_changes_the_field_of_every_cell_type():
    model = field()
    z, t = torch.randn(CELL_TYPES, DIMENSIONS), torch.rand(CELL_TYPES)
    codes = torch.arange(CELL_TYPES)
    p = torch.zeros(CELL_TYPES, TREATMENTS)
    p[:, 1] = 1
    condition = model.condition(p, codes, torch.zeros_like(codes))
    base, basis = model.heads(z, t, condition.context_BC)
    velocity = model(z, t, condition)
    expected = base + sum(condition.coefficient_BJ[:, j : j + 1] * basis[:, j] for j in range(model.config.basis))
    torch.testing.assert_close(velocity, expected)
    assert (velocity != base).any(1).all()


def test_coefficients_depend_on_the_cell_type_and_add_up_over_doses():
    model = field()
    types = torch.tensor([0, 1])
    one, two = torch.tensor([[1.0, 0, 0]] * 2), torch.tensor([[0, 0, 2.0]] * 2)
    first, second, both = (model.condition(p, types, types).coefficient_BJ for p in (one, two, one + two))
    assert not torch.allclose(first[0], first[1])
    torch.testing.assert_close(both, first + second)


def test_controls_train_the_base_and_nothing_of_the_perturbation():
    model = field()
    p, codes = torch.zeros(4, TREATMENTS), torch.zeros(4, dtype=torch.int64)
    model(torch.randn(4, DIMENSIONS), torch.rand(4), model.condition(p, codes, codes)).square().sum().backward()
    touched = {name for name, w in model.named_parameters() if w.grad is not None and w.grad.abs().sum() > 0}
    assert not any(name.startswith(("adapter", "gate", "alpha_head", "basis_head")) for name in touched)
    assert "base_head.weight" in touched


def test_an_untrained_field_stands_still():
    torch.manual_seed(0)
    model = small_field(**SIZES, covariate_dropout=0.0)
    codes = torch.zeros(3, dtype=torch.int64)
    velocity = model(torch.randn(3, DIMENSIONS), torch.rand(3), model.condition(torch.ones(3, 3), codes, codes))
    assert (velocity == 0).all()


def test_an_unseen_pair_is_answered_as_by_an_unknown_cell_type():
    """Cell type 0 was seen under perturbation 0 only; type 1 under nothing; nothing was seen under perturbation 2."""
    model = field()
    model.remember(torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0.5, 0]]), torch.tensor([0, 1, 2]))
    doses = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]])

    def context(cell_type):
        codes = torch.full((len(doses),), cell_type)
        return model.condition(doses, codes, torch.zeros_like(codes)).context_BC

    unknown = context(CELL_TYPES)
    as_unknown = {c: (context(c) == unknown).all(dim=1).tolist() for c in range(3)}
    assert as_unknown[0] == [False, True, True, True, False]
    assert as_unknown[1] == [True, True, True, True, False]  # a control is always of its own type
    assert as_unknown[2] == [True, False, True, True, False]


def test_a_field_that_remembers_nothing_or_knows_no_unknown_takes_every_pair_as_it_is():
    doses = torch.tensor([[1.0, 0, 0]])
    fresh, untrained = field(), field()
    untrained.cell_type.dropout = 0.0
    untrained.remember(torch.zeros(1, TREATMENTS), torch.zeros(1, dtype=torch.int64))
    for model in (fresh, untrained):
        own, unknown = (model.condition(doses, torch.tensor([c]), torch.tensor([0])) for c in (0, CELL_TYPES))
        assert not torch.equal(own.context_BC, unknown.context_BC)


def test_guidance_scales_what_the_perturbation_adds_and_leaves_a_control_alone_bit_for_bit():
    model = field()
    z, t, codes = torch.randn(4, DIMENSIONS), torch.rand(4), torch.tensor([0, 1, 2, 0])
    p = torch.eye(TREATMENTS)[torch.tensor([0, 1, 2, 0])]
    p[3] = 0
    condition = model.condition(p, codes, codes.clamp(max=1))
    base = model(z, t, condition.guided(0.0))
    once, twice = model(z, t, condition), model(z, t, condition.guided(2.0))
    torch.testing.assert_close(twice, base + 2 * (once - base))
    assert not torch.allclose(once[:3], base[:3])
    assert torch.equal(twice[3], once[3])


def test_a_place_is_part_of_the_context_and_may_be_unknown():
    torch.manual_seed(0)
    model = small_field(**SIZES, covariate_dropout=0.5, spatial=2)
    codes, p = torch.zeros(200, dtype=torch.int64), torch.zeros(200, TREATMENTS)
    here, there = torch.zeros(200, 2), torch.ones(200, 2)
    model.eval()
    contexts = [model.condition(p, codes, codes, place).context_BC for place in (here, there, None)]
    assert not torch.equal(contexts[0], contexts[1])
    unknown = contexts[2]
    model.train()
    dropped = model.condition(p, codes, codes, here, torch.Generator().manual_seed(0)).context_BC[:, -16:]
    share = (dropped == unknown[:, -16:]).all(dim=1).float().mean().item()
    assert share == pytest.approx(0.5, abs=0.1)  # "unknown" is trained by dropping places at random
