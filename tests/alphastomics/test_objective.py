"""What AlphaSTomics is trained on, with networks that know the truth, that know nothing, and that learn."""

import pytest
import torch
from torch import nn

from pipeline.alphastomics.data.neighbourhoods import NeighbourhoodBatch
from pipeline.alphastomics.model.diffusion import centred
from pipeline.alphastomics.model.layout_loss import neighbour_divergence, squared_distances
from pipeline.alphastomics.model.network import Denoised, SpatialConfig, SpatialDiffusion
from pipeline.alphastomics.model.objective import MODES, Noising, SpatialObjective, mean_where

B, N, G, STEPS = 40, 6, 5, 50
LENGTHS = torch.arange(B) % 4 + 3
MASK = torch.arange(N) < LENGTHS[:, None]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(space=2):
    return NeighbourhoodBatch(
        x_BNG=normal(B, N, G) * MASK[..., None],
        position_BNS=centred(normal(B, N, space, seed=1), MASK),
        mask_BN=MASK,
        cell_type_BN=torch.zeros(B, N, dtype=torch.int64),
        section_B=torch.zeros(B, dtype=torch.int64),
        names=[f"neighbourhood {b}" for b in range(B)],
    )


class Told(nn.Module):
    """Answers with fixed estimates of x0, as x0 or as the v that amounts to it, and keeps what it was shown."""

    def __init__(self, x_BNG, position_BNS, prediction="x0", shared_frame=True):
        super().__init__()
        self.x_BNG, self.position_BNS, self.prediction = x_BNG, position_BNS, prediction
        self.shared_frame = shared_frame
        self.seen = None

    def forward(self, cells, _generator=None):
        self.seen = cells
        if self.prediction == "x0":
            return Denoised(self.x_BNG, self.position_BNS, [])
        return Denoised(
            velocity(cells.x_BNG, self.x_BNG, cells.x_signal_B, cells.hidden_BNG),
            velocity(cells.position_BNS, self.position_BNS, cells.position_signal_B, cells.hidden_BNS),
            [],
        )


def velocity(x_t, x0, signal_B, hidden=None):
    """(√ᾱ x_t − x_0) / √(1 − ᾱ), −x_0 of what is hidden; anything will do where there is neither noise nor mask."""
    signal = signal_B[:, None, None].double()
    level = (1 - signal.square()).sqrt()
    v = ((signal * x_t - x0) / level).masked_fill(level == 0, 123.0).float()
    return v if hidden is None else torch.where(hidden, -x0, v)


def truth(prediction="x0", shared_frame=True, space=2):
    return Told(batch(space).x_BNG, batch(space).position_BNS, prediction, shared_frame)


def only(mode):
    return {name: float(name == mode) for name in MODES}


EVENLY = {"joint": 0.4, "expr_to_pos": 0.3, "pos_to_expr": 0.3}


def objective(model, prediction="x0", **changes):
    settings = {
        "modes": EVENLY,
        "noise_share": 0.2,
        "condition_dropout": 0.0,
        "position_weight": 2.0,
        "neighbour_weight": 3.0,
        "masking": "random",
        "masked_genes": 0.4,
        "masked_dimensions": 0.5,
        "masked_weight": 0.7,
        "balance_weight": 0.01,
    }
    return SpatialObjective(model, Noising.of(STEPS, 1.0, 2.0, prediction), **settings | changes)


def times(model):
    """Of expression and position as it was last shown, whole numbers."""
    return (model.seen.x_time_B * STEPS).round().int(), (model.seen.position_time_B * STEPS).round().int()


def test_a_mode_keeps_its_condition_clean_and_noises_the_rest():
    model, clean = truth(), batch()
    for mode in MODES:
        objective(model, modes=only(mode), masking="none")(clean, seeded())
        x_time, position_time = times(model)
        if mode == "joint":
            assert x_time.equal(position_time)
        for name, time, shown, known in (
            ("expr_to_pos", x_time, model.seen.x_BNG, clean.x_BNG),
            ("pos_to_expr", position_time, model.seen.position_BNS, clean.position_BNS),
        ):
            assert (time == 0).all() == (mode == name)
            assert (shown - known).abs().max() < 1e-6 if mode == name else (shown - known).abs().amax((1, 2)).min() > 0
        noised = position_time if mode != "pos_to_expr" else x_time
        assert noised.min() >= 1
        assert noised.max() == STEPS
        assert len(noised.unique()) > B / 4


def test_modes_and_times_have_their_chances():
    small = batch()
    model = objective(truth(), noise_share=0.3, condition_dropout=0.25)
    drawn = [model._times(B, seeded(seed), small.section_B.device) for seed in range(200)]
    x_time, position_time = (torch.cat(part) for part in zip(*drawn, strict=True))
    size = len(x_time)
    joint = x_time == position_time  # or a condition at T beside a noised one at T, which is the same
    expected = 0.4 + 0.6 * 0.25 * (0.3 + 0.7 / STEPS)
    assert joint.sum().item() / size == pytest.approx(expected, abs=0.02)
    assert (x_time == 0).sum().item() / size == pytest.approx(0.3 * 0.75, abs=0.02)
    assert (position_time == 0).sum().item() / size == pytest.approx(0.3 * 0.75, abs=0.02)
    noised = position_time[x_time == 0]
    assert (noised == STEPS).double().mean().item() == pytest.approx(0.3 + 0.7 / STEPS, abs=0.03)
    others = torch.bincount(noised[noised < STEPS], minlength=STEPS)[1:].double()
    assert others.min() > 0.4 * others.mean()


def test_a_condition_is_dropped_in_training_only_and_is_then_pure_noise():
    model = objective(truth(), modes=only("expr_to_pos"), condition_dropout=1.0)
    found = model(batch(), seeded())
    assert (times(model.model)[0] == STEPS).all()
    assert model.model.seen.x_signal_B.max() < 0.05
    assert found["expression"] == 0
    model.eval()(batch(), seeded())
    assert (times(model.model)[0] == 0).all()


@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "free"])
@pytest.mark.parametrize("space", [2, 3])
def test_the_truth_costs_nothing_but_what_the_kernels_of_neighbours_differ_by(prediction, shared, space):
    clean = batch(space)
    distances = squared_distances(clean.position_BNS)
    least = neighbour_divergence(distances, distances, MASK)
    for mode in MODES:
        found = objective(truth(prediction, shared, space), prediction, modes=only(mode))(clean, seeded())
        assert set(found) == {"loss", "expression", "stress", "neighbours", "hidden"} | ({"frame"} if shared else set())
        for name in {"expression", "stress", "hidden", "frame"} & set(found):
            assert found[name] < 1e-6, name
        expected = torch.tensor(0.0) if mode == "pos_to_expr" else least
        torch.testing.assert_close(found["neighbours"], expected, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(found["loss"], 2 * 3 * expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_what_is_wrong_costs(prediction):
    clean = batch()
    wrong = Told(clean.x_BNG + 0.5, 1.3 * clean.position_BNS, prediction)
    joint = objective(wrong, prediction, modes=only("joint"), masking="none")
    found = joint(clean, seeded())
    torch.testing.assert_close(found["expression"], torch.tensor(0.25), rtol=1e-3, atol=0)
    expected = (0.3 * clean.position_BNS[MASK]).square().mean()
    torch.testing.assert_close(found["frame"], expected, rtol=1e-3, atol=0)
    assert found["stress"] > 0.01
    parts = found["expression"] + 2 * (found["stress"] + 3 * found["neighbours"] + found["frame"])
    torch.testing.assert_close(found["loss"], parts)
    distances = squared_distances(clean.position_BNS)
    torch.testing.assert_close(
        found["neighbours"], neighbour_divergence(1.69 * distances, distances, MASK), rtol=1e-3, atol=1e-4
    )


def test_what_is_not_asked_for_costs_nothing():
    clean = batch()
    wrong = Told(clean.x_BNG + 0.5, 1.3 * clean.position_BNS)
    placing = objective(wrong, modes=only("expr_to_pos"), masking="none")(clean, seeded())
    assert placing["expression"] == 0
    assert min(placing["stress"], placing["frame"], placing["neighbours"]) > 0.01
    filling = objective(wrong, modes=only("pos_to_expr"), masking="none")(clean, seeded())
    assert filling["expression"] > 0.1
    assert filling["stress"] == filling["frame"] == filling["neighbours"] == 0


def test_padding_costs_nothing_whatever_the_answer_there():
    clean = batch()
    spoilt = Told(clean.x_BNG.masked_fill(~MASK[..., None], 9.0), clean.position_BNS.masked_fill(~MASK[..., None], 9.0))
    found, expected = (objective(model)(clean, seeded()) for model in (spoilt, truth()))
    for name, part in expected.items():
        torch.testing.assert_close(found[name], part, msg=name)


def test_a_layout_that_is_turned_costs_only_where_a_frame_is_shared():
    clean = batch()
    turned = clean.position_BNS @ torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    for shared in (True, False):
        model = objective(Told(clean.x_BNG, turned, shared_frame=shared), modes=only("joint"), masking="none")
        found = model(clean, seeded())
        assert found["stress"] < 1e-6
        assert ("frame" in found) == shared
        assert not shared or found["frame"] > 0.5


@pytest.mark.parametrize("masking", ["random", "block", "structured"])
def test_hidden_parts_are_judged_by_their_clean_values(masking):
    """A published implementation took the noised values for the truth."""
    clean = batch()
    right = objective(truth(), masking=masking, modes=only("joint"), noise_share=1.0)
    assert right(clean, seeded())["hidden"] == 0
    seen = right.model.seen
    assert (seen.x_BNG - clean.x_BNG)[MASK].abs().mean() > 0.5  # another thing than the clean values
    assert seen.hidden_BNG.sum(-1).eq(2).all()
    assert seen.hidden_BNS.sum(-1).eq(1).all()
    noised = objective(Told(seen.x_BNG, seen.position_BNS), masking=masking, modes=only("joint"), noise_share=1.0)
    found = noised(clean, seeded())["hidden"]
    errors = [
        (shown - known).square()[hidden & MASK[..., None]].mean()
        for shown, known, hidden in (
            (seen.x_BNG, clean.x_BNG, seen.hidden_BNG),
            (seen.position_BNS, clean.position_BNS, seen.hidden_BNS),
        )
    ]
    torch.testing.assert_close(found, sum(errors))
    assert found > 0.5


def test_only_what_is_hidden_is_judged_as_hidden():
    clean = batch()
    first = objective(truth(), modes=only("joint"))
    first(clean, seeded())
    hidden_BNG, hidden_BNS = first.model.seen.hidden_BNG, first.model.seen.hidden_BNS
    shown_wrong = Told(clean.x_BNG + 1.0 * ~hidden_BNG, clean.position_BNS + 1.0 * ~hidden_BNS)
    found = objective(shown_wrong, modes=only("joint"))(clean, seeded())
    assert found["hidden"] == 0
    assert found["expression"] > 0.1


def test_without_a_frame_hidden_coordinates_count_as_far_as_the_direction_is_told():
    clean = batch()
    wrong = Told(clean.x_BNG, clean.position_BNS + 1.0, shared_frame=False)
    noise = objective(wrong, modes=only("joint"), noise_share=1.0)(clean, seeded())["hidden"]
    shown = objective(wrong, modes=only("pos_to_expr"))(clean, seeded())["hidden"]
    assert noise < 1e-3
    torch.testing.assert_close(shown, torch.tensor(1.0))


def test_parts_are_there_as_the_settings_say():
    clean = batch()
    assert "hidden" not in objective(truth(), masking="none")(clean, seeded())
    validation = objective(Told(clean.x_BNG + 1, clean.position_BNS)).eval()(clean, seeded())
    assert validation["hidden"] == 0  # of which there is nothing in validation
    for ffn, found in ((ffn, objective(network(ffn=ffn))(clean, seeded())) for ffn in ("dense", "moe")):
        assert ("balance" in found) == (ffn == "moe")
    assert found["balance"] >= 0.9


def network(prediction="x0", **changes):
    torch.manual_seed(0)
    fields = {"genes": G, "space": 2, "cell_types": 1, "sections": 1, "dimensions": 8, "layers": 2, "heads": 2}
    fields |= {"hidden": 8, "dropout": 0.1, "covariate_dropout": 0.1}
    model = SpatialDiffusion(SpatialConfig(**(fields | changes)))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(0.05 * normal(*parameter.shape, seed=number))
    return model


def test_the_balance_weighs_as_it_is_told():
    model, clean = network(ffn="moe"), batch()
    losses = [objective(model, balance_weight=weight)(clean, seeded()) for weight in (0.0, 0.5)]
    torch.testing.assert_close(losses[1]["loss"] - losses[0]["loss"], 0.5 * losses[0]["balance"])


@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize(
    "changes", [{}, {"orientation": "free", "attention": "linear"}, {"ffn": "moe", "gate": "headwise"}]
)
def test_gradients_are_finite_and_all_comes_from_the_generator(prediction, changes):
    model, clean = network(**changes), batch()
    training = objective(model, prediction, condition_dropout=0.2)
    state = torch.get_rng_state()
    one, again, other = (training(clean, seeded(seed)) for seed in (0, 0, 1))
    assert all(one[name].equal(again[name]) for name in one)
    assert not one["loss"].equal(other["loss"])
    assert torch.get_rng_state().equal(state)
    one["loss"].backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)
    training.eval()
    one, again, other = (training(clean, seeded(seed))["loss"] for seed in (0, 0, 1))
    assert one.equal(again)
    assert not one.equal(other)


def test_a_part_that_no_neighbourhood_asks_for_is_zero_and_has_no_gradient():
    model = network()
    found = objective(model, modes=only("expr_to_pos"), masking="none")(batch(), seeded())
    found["expression"].backward()
    assert all((parameter.grad == 0).all() for parameter in model.parameters() if parameter.grad is not None)
    assert found["expression"] == 0


def test_it_learns():
    """A few steps on one batch, under the same noise before and after."""
    model, clean = network(ffn="moe"), batch()
    training = objective(model, modes={"joint": 0.0, "expr_to_pos": 0.5, "pos_to_expr": 0.5})
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    before = training.eval()(clean, seeded(99))["loss"].item()
    training.train()
    for step in range(15):
        optimizer.zero_grad()
        training(clean, seeded(step))["loss"].backward()
        optimizer.step()
    assert training.eval()(clean, seeded(99))["loss"].item() < 0.95 * before


def test_the_mean_of_nothing_is_zero():
    value = torch.full((2, 3), torch.nan)
    assert mean_where(value, torch.zeros(2, 1, dtype=torch.bool)) == 0
    assert mean_where(torch.arange(6.0).view(2, 3), torch.tensor([[True], [False]])) == 1


@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize("mode", ["expr_to_pos", "pos_to_expr"])
def test_what_is_hidden_of_a_clean_condition_teaches_the_network(mode, prediction):
    """A condition is not noised; were its hidden part answered with what was shown, nothing could be learned of it."""
    shares = {"masked_genes": 0.5, "masked_dimensions": 0.0} if mode == "expr_to_pos" else {"masked_genes": 0.0}
    model = network(prediction)
    learning = objective(model, prediction, modes=only(mode), **shares)
    learning(batch(), seeded())["hidden"].backward()
    last = model.to_genes if mode == "expr_to_pos" else model.layers[-1].step
    assert last.weight.grad is not None
    assert last.weight.grad.abs().max() > 1e-6


def test_what_is_shown_of_clean_positions_is_not_moved():
    model = network()
    seen = {}
    model.register_forward_hook(lambda _module, given, answer: seen.update(cells=given[0], answer=answer))
    objective(model, modes=only("pos_to_expr"), masked_dimensions=0.5)(batch(), seeded())
    cells, answer = seen["cells"], seen["answer"]
    assert cells.hidden_BNS.any()
    moved_BNS = answer.position_BNS - batch().position_BNS
    shown = ~cells.hidden_BNS & MASK[..., None]
    # Each axis is centred over the neighbourhood, so what is shown may shift as a whole, and no further.
    for b in range(B):
        for axis in range(2):
            along = moved_BNS[b, shown[b, :, axis], axis]
            assert len(along) < 2 or along.std() < 1e-5
