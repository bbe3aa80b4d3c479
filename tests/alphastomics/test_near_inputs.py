"""Estimates from measured cells as inputs of the network: what is shown of them, when, and how they turn."""

from dataclasses import replace

import pytest
import torch

from pipeline.alphastomics.model.measured_cells import EXPRESSIONS, PLACES
from tests.alphastomics.test_network import PADDED, TYPES, B, G, N, answer, cells, difference, network, normal

from tests.alphastomics.test_network import orthogonal, turned  # isort: skip


def shown(space=2, place=True, expression=True, **changes):
    """Padded neighbourhoods with estimates of both kinds; expression is clean in the first, positions in the last."""
    given = replace(cells(space, PADDED), position_time_B=torch.tensor([0.7, 1.0, 0.0]).double(), **changes)
    if place:
        given = replace(given, near_place_BNKS=normal(B, N, len(PLACES), space, seed=5))
    if expression:
        given = replace(given, near_x_BNKG=normal(B, N, len(EXPRESSIONS), G, seed=6))
    return given


def with_estimates(space=2, **changes):
    return network(space, estimates="measured", **changes)


def apart(model, one, other):
    """The largest difference of two answers, of each neighbourhood: (2, B), of expression and of positions."""
    pairs = zip(answer(model, one)[:2], answer(model, other)[:2], strict=True)
    return torch.stack([(a - b).abs().flatten(1).amax(1) for a, b in pairs])


def test_a_place_is_shown_where_expression_is_clean_and_expression_where_positions_are():
    model, given = with_estimates(), shown()
    for name, where in (("near_place_BNKS", 0), ("near_x_BNKG", 2)):
        found = apart(model, given, replace(given, **{name: getattr(given, name) + 1.0}))
        others = [b for b in range(B) if b != where]
        assert found[0, where] > 1e-2
        assert (found[:, others] == 0).all()
        without = replace(given, **{name: None})  # none at all: as where they are not shown
        assert (apart(model, given, without)[:, others] == 0).all()


def test_the_network_that_is_not_to_be_shown_estimates_does_not_look_at_them():
    given = shown()
    for model in (network(), network(shared=False, estimates="measured")):
        assert not hasattr(model, "near")
        assert (apart(model, given, replace(given, near_place_BNKS=None, near_x_BNKG=None)) == 0).all()


def test_the_estimate_of_a_type_is_seen_only_where_the_type_is_told():
    model = with_estimates()
    same = [EXPRESSIONS.index(name) for name in ("nearest_same_type", "near_same_type")]
    for code, seen in ((0, True), (TYPES, False)):
        given = shown(cell_type_BN=torch.full((B, N), code))
        other_BNKG = given.near_x_BNKG.clone()
        other_BNKG[:, :, same] += 1.0
        assert (apart(model, given, replace(given, near_x_BNKG=other_BNKG))[0, 2] > 1e-3) == seen


@pytest.mark.parametrize("space", [2, 3])
def test_estimates_of_places_turn_with_the_frame(space):
    model, given = with_estimates(space), shown(space)
    turn = orthogonal(space, 0, reflected=True)
    found, moved = answer(model, given), answer(model, turned(given, turn, with_frame=True))
    assert difference(moved.x_BNG, found.x_BNG) < 1e-9
    assert difference(moved.position_BNS, found.position_BNS @ turn.mT) < 1e-9
    without = replace(turned(given, turn, with_frame=True), near_place_BNKS=given.near_place_BNKS)
    assert difference(answer(model, without).x_BNG, found.x_BNG) > 1e-2


def test_what_estimates_hold_at_padding_is_not_seen():
    model, given = with_estimates(), shown()
    spoilt = replace(
        given,
        near_place_BNKS=given.near_place_BNKS.masked_fill(~PADDED[..., None, None], 30.0),
        near_x_BNKG=given.near_x_BNKG.masked_fill(~PADDED[..., None, None], -20.0),
    )
    assert (apart(model, given, spoilt) == 0).all()


def test_a_network_that_has_learned_nothing_answers_from_noise_with_the_estimates_of_places():
    torch.manual_seed(0)
    model = type(network())(with_estimates().config).double().eval()
    noise = torch.tensor([1.0, 1.0, 0.0]).double()
    given = shown(position_signal_B=1 - noise, x_time_B=torch.zeros(B).double())
    found = answer(model, given).position_BNS
    expected = given.near_place_BNKS.mean(2) * PADDED[..., None]
    torch.testing.assert_close(found[:2], expected[:2])
    torch.testing.assert_close(found[2], given.position_BNS[2])


def test_measured_cells_are_kept_with_the_model():
    model = with_estimates()
    assert "measured_x_MG" not in model.state_dict()
    model.keep(normal(6, G), normal(6, 2), torch.arange(6))
    assert model.config.measured == 6
    assert model.state_dict()["measured_x_MG"].shape == (6, G)
    again = type(model)(model.config)
    assert {name: value.shape for name, value in again.state_dict().items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
