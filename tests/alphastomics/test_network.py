"""AlphaSTomics' network: what it may not see (pose, order, padding), by construction and with random weights.

In float64, so that what differs is not rounding. Every weight is drawn anew: a new network answers 0 and moves nothing,
and would pass all of this.
"""

import itertools
from dataclasses import replace

import pytest
import torch

from pipeline.alphastomics.model.diffusion import centred
from pipeline.alphastomics.model.network import Dropout, Neighbourhoods, SpatialConfig, SpatialDiffusion

B, N, G, TYPES, SECTIONS = 3, 7, 5, 3, 2
SIZES = {"genes": G, "space": 2, "cell_types": TYPES, "sections": SECTIONS}
SIZES |= {"dimensions": 8, "layers": 2, "heads": 2, "hidden": 12}
FULL = torch.ones(B, N, dtype=torch.bool)
LENGTHS = torch.tensor([7, 4, 2])
PADDED = torch.arange(N) < LENGTHS[:, None]
KINDS = list(itertools.product(["softmax", "linear"], ["none", "headwise", "elementwise"], ["dense", "moe"]))


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(space=2, shared=True, attention="softmax", gate="headwise", ffn="moe", train=False, **changes):
    fields = SIZES | {"space": space, "attention": attention, "gate": gate, "ffn": ffn}
    fields["orientation"] = "shared" if shared else "free"
    model = SpatialDiffusion(SpatialConfig(**(fields | changes)))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(0.4 * normal(*parameter.shape, seed=number))
    return model.double().train(train)


def cells(space=2, mask=FULL, hidden=False):
    return Neighbourhoods(
        x_BNG=normal(B, N, G, seed=1) * mask[..., None],
        position_BNS=centred(normal(B, N, space, seed=2), mask),
        x_time_B=torch.tensor([0.0, 0.3, 1.0]).double(),
        position_time_B=torch.tensor([0.7, 1.0, 0.4]).double(),
        mask_BN=mask,
        cell_type_BN=torch.arange(B * N).view(B, N) % (TYPES + 1),
        section_B=torch.tensor([0, 1, 2]),
        frame_BSS=torch.eye(space).double().expand(B, -1, -1),
        x_signal_B=torch.tensor([1.0, 0.8, 0.3]).double(),
        position_signal_B=torch.tensor([0.5, 0.2, 0.9]).double(),
        hidden_BNG=normal(B, N, G, seed=3) > 0.5 if hidden else None,
        hidden_BNS=normal(B, N, space, seed=4) > 0.5 if hidden else None,
    )


def answer(model, given, generator=None):
    with torch.no_grad():
        return model(given, generator)


def orthogonal(space, seed, reflected):
    """One of each neighbourhood's own, (B, S, S)."""
    matrix, _ = torch.linalg.qr(normal(B, space, space, seed=seed))
    wrong = (torch.linalg.det(matrix) < 0) != reflected
    matrix[wrong, :, 0] *= -1
    return matrix


def turned(given, turn, with_frame):
    """Positions turned; with the frame, whose axes are turned along, as rows, or without, and then moved too."""
    moved = given.position_BNS @ turn.mT
    if with_frame and given.near_place_BNKS is not None:
        given = replace(given, near_place_BNKS=given.near_place_BNKS @ turn.mT[:, None])
    if not with_frame:
        moved = moved + normal(B, 1, turn.shape[1], seed=8)
    return replace(given, position_BNS=moved, frame_BSS=given.frame_BSS @ turn.mT if with_frame else given.frame_BSS)


def difference(one, other):
    return (one - other).abs().max().item()


@pytest.mark.parametrize(("attention", "gate", "ffn"), KINDS)
@pytest.mark.parametrize("space", [2, 3])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "free"])
def test_expression_is_invariant_and_positions_turn_with_a_rigid_motion(attention, gate, ffn, space, shared):
    """In a shared frame positions and frame turn together; without one, positions turn and move alone."""
    model, given = network(space, shared, attention, gate, ffn), cells(space, PADDED)
    found = answer(model, given)
    for seed, reflected in itertools.product((0, 1), (False, True)):
        turn = orthogonal(space, seed, reflected)
        moved = answer(model, turned(given, turn, with_frame=shared))
        assert difference(moved.x_BNG, found.x_BNG) < 1e-9
        assert difference(moved.position_BNS, found.position_BNS @ turn.mT) < 1e-9
        # what could have failed: it says something, and something else for other positions
        assert found.x_BNG.abs().max() > 0.1
        assert difference(found.position_BNS, given.position_BNS) > 0.1
    bent = given.position_BNS * torch.tensor([1.0] + [1.5] * (space - 1)).double()
    assert difference(answer(model, replace(given, position_BNS=bent)).x_BNG, found.x_BNG) > 1e-3


@pytest.mark.parametrize("space", [2, 3])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "free"])
def test_hidden_coordinates_turn_with_the_frame_they_are_hidden_in(space, shared):
    model, given = network(space, shared), cells(space, PADDED, hidden=True)
    turn = orthogonal(space, 0, reflected=True)
    along = turned(given, turn, with_frame=True)
    along = replace(along, position_BNS=centred(along.position_BNS, PADDED))  # a token stands for a centred one
    found, moved = answer(model, given), answer(model, along)
    assert difference(moved.x_BNG, found.x_BNG) < 1e-9
    assert difference(moved.position_BNS, found.position_BNS @ turn.mT) < 1e-9


@pytest.mark.parametrize("attention", ["softmax", "linear"])
@pytest.mark.parametrize("space", [2, 3])
def test_in_a_shared_frame_a_direction_is_seen(attention, space):
    """The control of the tests above: positions turned and the frame not."""
    model, given = network(space, attention=attention), cells(space)
    turn = orthogonal(space, 0, reflected=False)
    found, moved = answer(model, given), answer(model, turned(given, turn, with_frame=False))
    assert difference(moved.x_BNG, found.x_BNG) > 1e-2
    assert difference(moved.position_BNS, found.position_BNS @ turn.mT) > 1e-2


def test_only_in_a_shared_frame_is_it_seen_where_a_neighbourhood_lies():
    """Its origin belongs to a frame: the same neighbourhood elsewhere is another place of the tissue."""
    for shared, least, most in ((True, 1e-2, 1e9), (False, 0, 1e-9)):
        model, given = network(shared=shared), cells(mask=PADDED)
        moved = replace(given, position_BNS=given.position_BNS + torch.tensor([0.8, -0.5]) * PADDED[..., None])
        found, elsewhere = answer(model, given), answer(model, moved)
        assert least <= difference(elsewhere.x_BNG, found.x_BNG) <= most
        assert least <= difference(elsewhere.position_BNS, found.position_BNS) <= most
        assert answer(model, moved).position_BNS.equal(elsewhere.position_BNS)


def test_without_one_the_frame_is_not_looked_at():
    model, given = network(shared=False), cells()
    spun = replace(given, frame_BSS=orthogonal(2, 0, reflected=True))
    for one, other in zip(answer(model, spun)[:2], answer(model, given)[:2], strict=True):
        assert one.equal(other)
    assert difference(answer(network(), spun).x_BNG, answer(network(), given).x_BNG) > 1e-2


@pytest.mark.parametrize(("attention", "gate", "ffn"), KINDS)
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "free"])
def test_a_permutation_of_the_cells_permutes_the_answer(attention, gate, ffn, shared):
    model, given = network(3, shared, attention, gate, ffn), cells(3, PADDED, hidden=True)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    each = ("x_BNG", "position_BNS", "mask_BN", "cell_type_BN", "hidden_BNG", "hidden_BNS")
    mixed = answer(model, replace(given, **{name: getattr(given, name)[:, order] for name in each}))
    found = answer(model, given)
    assert difference(mixed.x_BNG, found.x_BNG[:, order]) < 1e-9
    assert difference(mixed.position_BNS, found.position_BNS[:, order]) < 1e-9
    assert difference(mixed.x_BNG, found.x_BNG) > 1e-2


def in_type(given, dtype):
    parts = {name: value for name, value in vars(given).items() if value is not None}
    return Neighbourhoods(
        **{name: part.to(dtype) if part.is_floating_point() else part for name, part in parts.items()}
    )


def single(given, number):
    """One neighbourhood without its padding."""
    one, length = slice(number, number + 1), int(LENGTHS[number])
    parts = {name: value[one] for name, value in vars(given).items() if value is not None}
    of_cells = [name for name in parts if name.split("_")[-1].startswith("BN")]
    return Neighbourhoods(**parts | {name: parts[name][:, :length] for name in of_cells})


def padding_difference(model, given):
    """The largest difference that padding makes to a real cell; padding holds what a careless batch would."""
    careless = replace(
        given,
        x_BNG=given.x_BNG.masked_fill(~PADDED[..., None], 30.0),
        position_BNS=given.position_BNS.masked_fill(~PADDED[..., None], -20.0),
    )
    beside, largest = answer(model, careless), 0.0
    assert (beside.x_BNG[~PADDED] == 0).all()
    assert (beside.position_BNS[~PADDED] == 0).all()
    assert all(len(routing.expert_NK) == LENGTHS.sum() for routing in beside.routings)  # no expert sees padding
    for number, length in enumerate(LENGTHS.tolist()):
        for one, other in zip(beside[:2], answer(model, single(given, number))[:2], strict=True):
            largest = max(largest, difference(one[number, :length], other[0]))
    return largest


@pytest.mark.parametrize(("attention", "gate", "ffn"), KINDS)
@pytest.mark.parametrize("hidden", [False, True])
def test_padding_changes_nothing_for_real_cells(attention, gate, ffn, hidden):
    """In float64 with large weights, which would multiply whatever leaked. In float32 with small ones: sums over more
    terms round otherwise, and large weights multiply that too."""
    model, given = network(2, True, attention, gate, ffn), cells(2, PADDED, hidden)
    assert padding_difference(model, given) < 1e-9
    assert len(answer(model, given).routings) == (2 if ffn == "moe" else 0)
    torch.manual_seed(0)
    model = SpatialDiffusion(model.config).eval()
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            if not parameter.any():  # what starts at 0
                parameter.copy_(0.02 * normal(*parameter.shape, seed=number))
    assert padding_difference(model, in_type(given, torch.float32)) <= 1e-6


@pytest.mark.parametrize("attention", ["softmax", "linear"])
def test_cells_that_are_not_padding_are_seen(attention):
    """The control of the test above: the same cells, and the mask says that they are there."""
    model, given = network(attention=attention), cells(2, PADDED)
    seen = replace(given, mask_BN=FULL)
    assert difference(answer(model, seen).x_BNG[PADDED], answer(model, given).x_BNG[PADDED]) > 1e-2


def test_a_capacity_lets_experts_refuse_cells():
    """Its control: with a limit, cells compete for experts, and what one gets depends on who else is there."""
    found, limited = (answer(network(capacity_factor=factor), cells()) for factor in (None, 0.5))
    assert difference(found.x_BNG, limited.x_BNG) > 1e-3
    assert all(routing.kept_NK.all() for routing in found.routings)
    assert not all(routing.kept_NK.all() for routing in limited.routings)


def test_unknown_is_one_more_category_and_so_is_any_code_above():
    model, given = network(), cells()
    unknown = replace(given, cell_type_BN=torch.full((B, N), TYPES), section_B=torch.full((B,), SECTIONS))
    above = replace(given, cell_type_BN=torch.full((B, N), TYPES + 5), section_B=torch.full((B,), SECTIONS + 9))
    assert answer(model, unknown).x_BNG.equal(answer(model, above).x_BNG)
    for name in ("cell_type_BN", "section_B"):
        other = replace(unknown, **{name: torch.zeros_like(getattr(unknown, name))})
        assert difference(answer(model, other).x_BNG, answer(model, unknown).x_BNG) > 1e-2


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "free"])
def test_clean_positions_stay_and_noised_ones_move(shared):
    model, given = network(shared=shared), cells()
    clean = replace(given, position_time_B=torch.tensor([0.0, 0.5, 0.0]).double(), position_signal_B=torch.ones(B))
    found = answer(model, clean).position_BNS
    assert difference(found[[0, 2]], clean.position_BNS[[0, 2]]) < 1e-12
    assert difference(found[1], clean.position_BNS[1]) > 0.1
    assert shared == (found[1].mean(0).abs().max() > 1e-3)  # without a frame, positions stay centred


def test_times_and_signal_are_seen():
    model, given = network(), cells()
    found = answer(model, given).x_BNG
    for name in ("x_time_B", "position_time_B", "x_signal_B", "position_signal_B"):
        other = replace(given, **{name: getattr(given, name) * 0.5 + 0.1})
        assert difference(answer(model, other).x_BNG, found) > 1e-4


def test_what_is_hidden_is_not_seen_and_the_tokens_that_stand_for_it_are():
    model, given = network(), cells(hidden=True)
    found = answer(model, given)
    elsewhere = replace(
        given,
        x_BNG=torch.where(given.hidden_BNG, 7.0, given.x_BNG),
        position_BNS=torch.where(given.hidden_BNS, -5.0, given.position_BNS),
    )
    other = answer(model, elsewhere)
    assert difference(other.x_BNG, found.x_BNG) < 1e-9
    assert difference(other.position_BNS, found.position_BNS) < 1e-9
    shown = replace(elsewhere, hidden_BNG=None, hidden_BNS=None)
    assert difference(answer(model, shown).x_BNG, found.x_BNG) > 1e-2
    for token in (model.gene_token, model.coordinate_token):
        before = token.detach().clone()
        with torch.no_grad():
            token.add_(1)
        # a shift of all is not seen where each cell's other coordinates are; some are hidden of some cells only
        assert difference(answer(model, given).x_BNG, found.x_BNG) > 1e-3
        with torch.no_grad():
            token.copy_(before)


def test_where_nothing_is_hidden_the_masks_change_nothing():
    model, given = network(), cells()
    none = replace(
        given,
        hidden_BNG=torch.zeros(B, N, G, dtype=torch.bool),
        hidden_BNS=torch.zeros(B, N, 2, dtype=torch.bool),
    )
    for one, other in zip(answer(model, none)[:2], answer(model, given)[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chances", [{"dropout": 0.3}, {"covariate_dropout": 0.5}])
def test_what_is_dropped_comes_from_the_generator_and_only_in_training(chances):
    model, given = network(train=True, **chances), cells()
    state = torch.get_rng_state()
    one, again, other = (answer(model, given, torch.Generator().manual_seed(seed)).x_BNG for seed in (0, 0, 1))
    assert one.equal(again)
    assert difference(one, other) > 1e-3
    assert torch.get_rng_state().equal(state)
    with pytest.raises(TypeError, match="generator"):
        model(given)
    model.eval()
    assert answer(model, given).x_BNG.equal(answer(network(), given).x_BNG)


def test_dropout_keeps_the_mean_and_drops_its_share():
    x = torch.ones(100_000)
    dropped = Dropout(0.3, torch.Generator().manual_seed(0))(x)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert (dropped == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert Dropout(0.0, None)(x) is x
    with pytest.raises(TypeError, match="generator"):
        Dropout(0.3, None)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "free"])
@pytest.mark.parametrize(
    ("attention", "gate", "ffn"), [("softmax", "headwise", "moe"), ("linear", "elementwise", "dense")]
)
def test_a_gradient_reaches_every_parameter(shared, attention, gate, ffn):
    model, given = network(2, shared, attention, gate, ffn, train=True), cells(2, PADDED, hidden=True)
    found = model(given, torch.Generator().manual_seed(0))
    (found.x_BNG * normal(B, N, G, seed=5)).sum().add((found.position_BNS * normal(B, N, 2, seed=6)).sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_new_network_answers_nothing_moves_nothing_and_learns():
    torch.manual_seed(0)
    model, given = SpatialDiffusion(SpatialConfig(**SIZES)).double(), cells()
    found = model(given, torch.Generator())
    expected = given.position_BNS * given.position_signal_B[:, None, None]
    assert difference(found.position_BNS, expected) < 1e-12
    torch.testing.assert_close(found.x_BNG, model.to_genes.bias.expand(B, N, G))
    (found.x_BNG.square().mean() + (found.position_BNS - normal(B, N, 2)).square().mean()).backward()
    assert model.to_genes.weight.grad.abs().max() > 0
    assert model.layers[0].step.weight.grad.abs().max() > 0


def test_it_can_be_built_again_from_its_configuration():
    model = network(3, False, "linear", "elementwise", "moe")
    again = SpatialDiffusion(model.config)
    assert {name: part.shape for name, part in again.state_dict().items()} == {
        name: part.shape for name, part in model.state_dict().items()
    }
