"""Sampling a tissue with networks that know the truth, so that what is wrong is the sampler's; and the spread of draws.

The code of a cell's type is its number here, by which such a network knows the cell.
"""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.alphastomics.data.standardised import Standard
from pipeline.alphastomics.metrics.alignment import kabsch
from pipeline.alphastomics.model import spatial_sampler as place
from pipeline.alphastomics.model.calibration import Calibration
from pipeline.alphastomics.model.diffusion import based
from pipeline.alphastomics.model.network import Denoised, SpatialConfig
from pipeline.alphastomics.model.objective import Noising
from pipeline.alphastomics.model.spatial_sampler import Given, Sampling, sample
from pipeline.alphastomics.model.tissue_inference import TrainedTissue

CELLS, G, STEPS = 50, 4, 40
MODES = ("joint", "expr_to_pos", "pos_to_expr")
SMALL = {"neighbourhood": 16, "together": 3}  # the section is larger: 16 cells, then 5 times 6 or 7 more


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def tissue(space):
    """Expression and positions of a section, not centred."""
    return normal(CELLS, G), normal(CELLS, space, seed=1) * torch.arange(1, space + 1) + 5


class Network(nn.Module):
    """Answers by a function of what it is shown, and keeps that."""

    def __init__(self, space, shared_frame=True):
        super().__init__()
        self.shared_frame, self.space = shared_frame, space
        self.config = SpatialConfig(
            genes=G, space=space, cell_types=1, sections=1, dimensions=1, layers=1, heads=1, hidden=1
        )
        self.register_parameter("device", nn.Parameter(torch.zeros(())))
        self.seen = []

    def forward(self, cells):
        self.seen.append(cells)
        x_BNG, position_BNS = self.estimate(cells)
        return Denoised(x_BNG * cells.mask_BN[..., None], based(position_BNS, cells.mask_BN, self.shared_frame), [])


class Truth(Network):
    """x0, or the v that amounts to it. Without a frame it lies at another angle, either way up, every time."""

    def __init__(self, space, shared_frame=True, prediction="x0"):
        super().__init__(space, shared_frame)
        self.x_NG, self.position_NS = tissue(space)
        self.prediction = prediction

    def estimate(self, cells):
        x, position_BNS = self.x_NG[cells.cell_type_BN], self.position_NS[cells.cell_type_BN]
        position = based(position_BNS, cells.mask_BN, self.shared_frame)
        if not self.shared_frame:
            turn, _ = torch.linalg.qr(normal(len(x), self.space, self.space, seed=len(self.seen)))
            position = position @ turn.mT
        if self.prediction == "x0":
            return x, position
        return (
            velocity(cells.x_BNG, x, cells.x_signal_B),
            velocity(cells.position_BNS, position, cells.position_signal_B),
        )


def velocity(x_t, x0, signal_B):
    signal = signal_B[:, None, None].double()
    level = (1 - signal.square()).sqrt().clamp(min=1e-12)
    return ((signal * x_t - x0) / level).float().masked_fill(level == 1e-12, 0)


class Echo(Network):
    """Knows nothing: what it says depends on the noise alone."""

    def estimate(self, cells):
        return 0.5 * cells.x_BNG, 0.5 * cells.position_BNS


def noising(prediction="x0"):
    return Noising.of(STEPS, 1.0, 1.0, prediction)


def given(space, mode):
    """What a mode knows; what it does not is nonsense."""
    x_NG, position_NS = tissue(space)
    return Given(
        x_NG if mode == "expr_to_pos" else torch.full_like(x_NG, torch.nan),
        position_NS if mode == "pos_to_expr" else torch.full_like(position_NS, torch.nan),
        torch.arange(CELLS),
        0,
    )


def sampled(model, mode, seed=0, prediction="x0", **changes):
    return sample(model, noising(prediction), given(model.space, mode), Sampling(mode, **changes), seeded(seed))


def layout_error(found_NS, true_NS, shared):
    """The largest distance of a cell from where it belongs, after the motion that has no meaning: none in a frame."""
    found_NS, true_NS = found_NS.double(), true_NS.double()
    if shared:
        return (found_NS - true_NS).norm(dim=1).max().item()
    moved = kabsch(found_NS.numpy(), true_NS.numpy(), reflection=True).apply(found_NS.numpy())
    return np.linalg.norm(moved - true_NS.numpy(), axis=1).max()


@pytest.mark.parametrize("size", [{"neighbourhood": CELLS}, SMALL], ids=["whole", "stitched"])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "free"])
@pytest.mark.parametrize("space", [2, 3])
@pytest.mark.parametrize(("steps", "sampler"), list(itertools.product([1, 10], ["ddim", "ddpm"])))
def test_who_knows_the_truth_samples_it_in_one_layout(steps, sampler, space, shared, size):
    x_NG, position_NS = tissue(space)
    for mode in MODES:
        found = sampled(Truth(space, shared), mode, steps=steps, sampler=sampler, **size)
        torch.testing.assert_close(found.x_NG, x_NG[: 0 if mode == "expr_to_pos" else None], rtol=0, atol=1e-5)
        assert layout_error(found.position_NS, position_NS, shared or mode == "pos_to_expr") < 1e-4
        if mode == "pos_to_expr":
            assert found.position_NS.equal(position_NS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [{"neighbourhood": CELLS}, SMALL], ids=["whole", "stitched"])
def test_a_network_that_answers_v_samples_the_same(mode, size):
    x_NG, position_NS = tissue(2)
    found = sampled(Truth(2, prediction="v"), mode, steps=10, prediction="v", **size)
    torch.testing.assert_close(found.x_NG, x_NG[: 0 if mode == "expr_to_pos" else None], rtol=0, atol=1e-4)
    assert layout_error(found.position_NS, position_NS, shared=True) < 1e-4


def test_it_is_the_anchors_that_hold_neighbourhoods_together(monkeypatch):
    """The control: without them every neighbourhood lies at an angle of its own."""
    monkeypatch.setattr(place, "_anchored", lambda estimate_BNS, *_: estimate_BNS)
    found = sampled(Truth(2, False), "expr_to_pos", steps=10, **SMALL)
    assert layout_error(found.position_NS, tissue(2)[1], shared=False) > 0.5


@pytest.mark.parametrize("mode", MODES)
def test_every_cell_is_new_in_one_neighbourhood_and_none_is_too_large(mode):
    model = Truth(2)
    sampled(model, mode, steps=1, **SMALL)
    new = torch.zeros(CELLS, dtype=torch.int64)
    anchors = set()
    for number, cells in enumerate(model.seen):
        assert cells.mask_BN.shape[0] <= 3
        assert cells.mask_BN.sum(1).max() <= 16
        for b in range(len(cells.mask_BN)):
            members = cells.cell_type_BN[b][cells.mask_BN[b]]
            assert len(members.unique()) == len(members)
            stitched = number > 0 and mode != "pos_to_expr"
            anchors.add(tuple(members[: 8 * stitched].tolist()))
            new[members[8 * stitched :]] += 1
    assert new.tolist() == [1] * CELLS
    assert len(anchors - {()}) == (mode != "pos_to_expr")
    assert not all(cells.mask_BN.all() for cells in model.seen), "a padded neighbourhood must be among them"


def test_together_changes_who_is_asked_at_once_not_the_answer():
    for mode in MODES:
        one, two = (Truth(2) for _ in range(2))
        found = [sampled(m, mode, steps=5, neighbourhood=16, together=t) for m, t in ((one, 1), (two, 9))]
        assert len(one.seen) > len(two.seen)
        for each in found:
            assert layout_error(each.position_NS, tissue(2)[1], shared=True) < 1e-4


@pytest.mark.parametrize("cells", [17, 24, 25])
def test_a_section_that_is_a_little_larger_than_a_neighbourhood(cells):
    known = given(2, "expr_to_pos")
    few = Given(known.x_NG[:cells], known.position_NS[:cells], known.cell_type_N[:cells], 0)
    found = sample(Truth(2, False), noising(), few, Sampling("expr_to_pos", 10, neighbourhood=16), seeded())
    assert layout_error(found.position_NS, tissue(2)[1][:cells], shared=False) < 1e-4


def test_jointly_anchors_keep_the_expression_that_they_were_given_first():
    """Towards the end a neighbourhood is shown its anchors as they were sampled, in place and in expression."""
    model = Echo(2)
    found = sampled(model, "joint", steps=STEPS, **SMALL)
    last = [cells for cells in model.seen if (cells.x_time_B * STEPS).round().eq(1).all()]
    assert len(last) == 3  # the first, and 5 in groups of 3
    for cells in last[1:]:
        for b in range(len(cells.mask_BN)):
            rows = cells.cell_type_BN[b, :8]
            level = (1 - cells.x_signal_B[b] ** 2).sqrt()
            assert (cells.x_BNG[b, :8] - cells.x_signal_B[b] * found.x_NG[rows]).abs().max() < 6 * level + 1e-3
            between = torch.pdist(cells.position_BNS[b, :8]) - torch.pdist(found.position_NS[rows])
            assert between.abs().max() < 6 * level + 1e-3
    assert found.x_NG.std() > 0.01


def test_one_step_is_the_estimate_from_noise_alone():
    model = Truth(2)
    sampled(model, "expr_to_pos", steps=1, neighbourhood=CELLS)
    (cells,) = model.seen
    assert cells.position_time_B.eq(1).all()
    assert cells.x_time_B.eq(0).all()
    assert cells.x_BNG[0][cells.cell_type_BN[0].argsort()].equal(tissue(2)[0])
    assert cells.position_BNS.std() == pytest.approx(1, abs=0.25)  # of noise, not of the tissue


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
@pytest.mark.parametrize("mode", MODES)
def test_a_draw_is_a_function_of_its_generator(mode, sampler):
    state = torch.get_rng_state()
    one, again, other = (sampled(Echo(2), mode, seed, steps=10, sampler=sampler, **SMALL) for seed in (3, 3, 4))
    assert torch.get_rng_state().equal(state)
    for place_, (a, b, c) in enumerate(zip(one, again, other, strict=True)):
        assert a.equal(b)
        known = ("expr_to_pos", "pos_to_expr").index(mode) if mode != "joint" else None
        assert a.equal(c) == (place_ == known)


def test_the_samplers_differ_and_ddpm_adds_noise():
    found = [sampled(Echo(2), "joint", steps=10, sampler=sampler, neighbourhood=CELLS) for sampler in ("ddim", "ddpm")]
    assert (found[0].x_NG - found[1].x_NG).abs().max() > 1e-3
    assert (found[0].position_NS - found[1].position_NS).abs().max() > 1e-3


class Doubtful(Truth):
    """Says half of the truth where its condition is not shown."""

    def estimate(self, cells):
        factor = torch.where((cells.x_time_B == 1) & (cells.position_time_B == 1), 0.5, 1.0)[:, None, None]
        return tuple(part * factor for part in super().estimate(cells))


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "free"])
def test_guidance_goes_from_the_answer_without_a_condition_past_the_one_with_it(guidance, shared):
    """In one step, where the other modality is noise too: 0.5 + guidance (1 - 0.5) of the truth."""
    x_NG, position_NS = tissue(2)
    for size in ({"neighbourhood": CELLS}, SMALL):
        found = sampled(Doubtful(2, shared), "expr_to_pos", steps=1, guidance=guidance, **size)
        expected = position_NS * (0.5 + 0.5 * guidance)
        assert layout_error(found.position_NS, expected, shared) < 1e-4
        found = sampled(Doubtful(2, shared), "pos_to_expr", steps=1, guidance=guidance, **size)
        torch.testing.assert_close(found.x_NG, x_NG * (0.5 + 0.5 * guidance), rtol=0, atol=1e-5)


def test_guidance_asks_for_noise_in_place_of_the_condition_and_keeps_the_rest():
    model = Truth(2)
    sampled(model, "expr_to_pos", steps=4, guidance=2.0, neighbourhood=CELLS)
    assert len(model.seen) == 8
    for with_it, without in zip(model.seen[::2], model.seen[1::2], strict=True):
        assert without.position_BNS.equal(with_it.position_BNS)
        assert without.position_time_B.equal(with_it.position_time_B)
        assert without.x_time_B.eq(1).all()
        assert with_it.x_time_B.eq(0).all()
        assert not without.x_BNG.equal(with_it.x_BNG)
        assert without.x_BNG.equal(model.seen[1].x_BNG)


def test_joint_sampling_has_no_condition_to_be_guided_by():
    with pytest.raises(ValueError, match="joint sampling has none"):
        sampled(Truth(2), "joint", steps=1, guidance=2.0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_answer_that_is_not_finite_is_an_error(mode, value):
    class Broken(Truth):
        def estimate(self, cells):
            x_BNG, position_BNS = super().estimate(cells)
            x_BNG[0, 0, 0] = position_BNS[0, 0, 0] = value
            return x_BNG, position_BNS

    for shared, size in itertools.product((True, False), ({"neighbourhood": CELLS}, SMALL)):
        with pytest.raises(FloatingPointError, match="not finite"):
            sampled(Broken(2, shared), mode, steps=2, **size)


def trained(model):
    standard = Standard(100.0, np.zeros(G, np.float32), np.ones(G, np.float32))
    categories = {"cell_type": [f"type {n}" for n in range(CELLS)], "section": ["a", "b"]}
    return TrainedTissue(model, noising(), standard, categories)


def asked(answers, space, **known):
    x_NG, position_NS = (part.numpy() for part in tissue(space))
    parts = {"x_NG": x_NG, "position_NS": position_NS}
    return answers.given(CELLS, cell_type_N=np.arange(CELLS), **{name: parts[name] for name in known})


def seeds(number=3):
    return [seeded(seed) for seed in range(number)]


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "free"])
@pytest.mark.parametrize("size", [{"neighbourhood": CELLS}, SMALL], ids=["whole", "stitched"])
def test_draws_of_who_knows_the_truth_have_no_spread(shared, size):
    answers, (x_NG, position_NS) = trained(Truth(2, shared)), tissue(2)
    found = answers.place(asked(answers, 2, x_NG=True), Sampling("expr_to_pos", 10, **size), 3, seeds())
    assert found.draws_RNS.shape == (3, CELLS, 2)
    assert found.spread_N.max() < 1e-4
    for layout_NS in (found.estimate_NS, *found.draws_RNS):
        assert layout_error(torch.from_numpy(layout_NS), position_NS, shared) < 1e-4
        if not shared:
            np.testing.assert_allclose(layout_NS.mean(0), 0, atol=1e-5)
    told = answers.express(asked(answers, 2, position_NS=True), Sampling("pos_to_expr", 10, **size), 3, seeds())
    np.testing.assert_allclose(told.estimate_NG, x_NG, atol=1e-5)
    np.testing.assert_allclose(told.draw_NG, x_NG, atol=1e-5)
    assert told.spread_NG.max() < 1e-5


def test_the_spread_is_that_of_the_draws():
    answers = trained(Echo(2))
    sampling = Sampling("pos_to_expr", 10, "ddpm", neighbourhood=CELLS)
    known = asked(answers, 2, position_NS=True)
    told = answers.express(known, sampling, 4, seeds(4))
    assert told.spread_NG.min() > 0
    every = []
    for seed in seeds(4):
        sample(answers.model, noising(), known, Sampling("pos_to_expr", 1, "ddpm", neighbourhood=CELLS), seed)
        every.append(sample(answers.model, noising(), known, sampling, seed).x_NG.numpy())
    np.testing.assert_allclose(told.spread_NG, np.std(every, axis=0), rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(told.draw_NG, every[-1])
    placed = answers.place(asked(answers, 2, x_NG=True), Sampling("expr_to_pos", 10), 4, seeds(4))
    assert placed.spread_N.min() > 0.01
    expected = np.sqrt(((placed.draws_RNS - placed.draws_RNS.mean(0)) ** 2).sum(2).mean(0))
    np.testing.assert_allclose(placed.spread_N, expected, rtol=1e-4)
    alone = answers.place(asked(answers, 2, x_NG=True), Sampling("expr_to_pos", 10), 1, seeds(1))
    assert alone.spread_N.max() == 0


def test_the_estimate_needs_no_whole_draws():
    answers = trained(Echo(2))
    expression, place = asked(answers, 2, x_NG=True), asked(answers, 2, position_NS=True)
    for steps in (2, 10):
        to_place, to_expression = (Sampling(mode, steps, **SMALL) for mode in ("expr_to_pos", "pos_to_expr"))
        placed_NS = answers.expected_place(expression, to_place, 3, seeds()).estimate_NS
        np.testing.assert_array_equal(placed_NS, answers.place(expression, to_place, 3, seeds()).estimate_NS)
        told_NG = answers.expected_expression(place, to_expression, 3, seeds())
        np.testing.assert_array_equal(told_NG, answers.express(place, to_expression, 3, seeds()).estimate_NG)


def test_what_is_not_known_of_cells_is_shown_as_unknown():
    answers = trained(Truth(3))
    known = answers.given(5)
    assert len(known) == 5
    assert known.x_NG is None
    assert known.position_NS.shape == (5, 3)
    assert known.cell_type_N.tolist() == [CELLS] * 5
    assert known.section == 2
    assert answers.given(5, section=1).section == 1


def test_an_answerer_is_made_from_what_a_model_was_saved_with():
    calibration = Calibration.fit(np.eye(4), np.arange(1.0, 5.0))
    found = TrainedTissue.of(
        Truth(2),
        {
            "standard": {"target": 10.0, "mean": [0.0] * G, "deviation": [2.0] * G},
            "noising": {"steps": 7, "expression_exponent": 1.0, "position_exponent": 2.0, "prediction": "v"},
            "categories": {"cell_type": ["T"], "section": ["a"]},
            "calibration": {"typed": calibration.described(), "untyped": calibration.described()},
        },
    )
    assert (found.noising.position.steps, found.noising.position.exponent, found.noising.prediction) == (7, 2.0, "v")
    assert found.standard.deviation_G.tolist() == [2.0] * G
