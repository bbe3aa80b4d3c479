"""The size of predicted effects: what is set is reached, what is measured is right, and controls stay as they are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.cfm_vc.data.contexts import Calibration, load_contexts, save_contexts
from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.model.effects import Effects, calibrated
from pipeline.cfm_vc.model.predict import predict_cells
from pipeline.cfm_vc.model.response_prior import ResponsePrior
from pipeline.cfm_vc.model.transport import Solution
from tests.cfm_vc.small_models import small_contexts, small_field, small_vae

GENES, CPU = 12, torch.device("cpu")
DOSES = {"control": {}, "A": {"A": 1.0}, "B": {"B": 1.0}}
CATEGORIES = {"perturbation": ["A", "B", "control"], "cell_type": ["x", "y", "z"], "batch": ["a", "b"]}
A, CONTROL = 0, 2
P_A = np.array([1.0, 0.0], np.float32)


@pytest.fixture
def models():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae, field = small_vae().eval(), small_field().eval()
        for parameter in field.parameters():  # an untrained field stands still
            torch.nn.init.normal_(parameter, std=0.7)
    return vae, field


def contexts(*calibration):
    return small_contexts(GENES, CATEGORIES, DOSES, *calibration)


def effects(models, *calibration):
    return Effects(*models, Solution("control"), contexts(*calibration))


def predicted(models, of, cells, p_P=P_A, output="counts", seed=0):
    return predict_cells(*models, cells, p_P, Solution("control"), of, output, torch.Generator().manual_seed(seed))


def mean_expression(x_BG, target=24.0):
    return np.log1p(x_BG / np.maximum(x_BG.sum(1, keepdims=True), 1) * target).mean(0)


def test_the_noise_of_controls_is_that_of_the_prior_in_as_far_as_it_has_a_say(models):
    for prior_weight in (0.0, 0.5, 1.0):
        of, of_contexts = effects(models, 1.2, prior_weight), contexts(1.2, prior_weight)
        for code in range(3):
            effect, variance_G = of.of(code, P_A), of_contexts.noise[code, CONTROL]
            told_G = of.prior.context_response.controls_noise(code, variance_G)
            np.testing.assert_allclose(effect.noise_G, prior_weight * told_G)
        assert prior_weight == 0 or np.abs(effect.noise_G).max() > 1e-4


@pytest.mark.parametrize(("size", "prior_weight"), [(1.2, 0.0), (1.0, 0.5), (1.5, 1.0)])
def test_the_decoded_cells_have_the_calibrated_change(models, size, prior_weight):
    of, plain, cells = effects(models, size, prior_weight), effects(models), contexts().cells
    for code in range(3):
        controls = cells.select(np.flatnonzero(cells.cell_type == code))
        wished = of.of(code, P_A).change_G
        before = mean_expression(controls.dense(slice(None)))
        changes = [
            np.mean([mean_expression(predicted(models, by, controls, seed=s).x_BG) for s in range(40)], axis=0) - before
            for by in (of, plain)
        ]
        error, of_flow = (np.abs(change - wished).max() for change in changes)
        assert error < 0.1  # shares add up to 1, so that not every change can be had
        assert of_flow > 1.5 * error  # negative control


def test_the_change_is_the_average_of_the_flow_and_the_prior(models):
    known = contexts()
    flow = effects(models).flow_change(1, P_A)
    controls = {code: known.means[code, CONTROL] for code in range(3)}
    changes = {(c, label): known.means[c, label] - controls[c] for c in range(3) for label in (0, 1)}
    expected = ResponsePrior.fit(controls, changes)(controls[1], A, 1)
    found = effects(models, 1.2, 0.25).of(1, P_A).change_G
    np.testing.assert_allclose(found, np.maximum(0.75 * 1.2 * flow + 0.25 * expected, -controls[1]), atol=1e-9)


def test_controls_and_what_is_not_calibrated_are_left_to_the_bit(models):
    cells = contexts().cells
    plain, calibrated = effects(models), effects(models, 1.4, 0.5)
    assert plain.applied(cells.cell_type, P_A)[1] is None
    assert calibrated.applied(cells.cell_type, np.zeros(2, np.float32))[1] is None
    assert calibrated.of(3, P_A) is None  # a cell type of which there are no training controls
    for output in ("counts", "means"):
        one, other = (predicted(models, of, cells, np.zeros(2, np.float32), output) for of in (plain, calibrated))
        np.testing.assert_array_equal(one.x_BG, other.x_BG)


def test_a_cell_does_not_depend_on_those_predicted_with_it(models):
    cells = contexts().cells
    together = predicted(models, effects(models, 1.4, 0.5), cells, output="means").x_BG
    for rows in (np.array([0]), np.array([59, 3])):
        alone = predicted(models, effects(models, 1.4, 0.5), cells.select(rows), output="means").x_BG
        np.testing.assert_allclose(alone, together[rows], rtol=1e-4, atol=1e-5)


def moments_of(means, cells=1000, spread=0.0):
    return {group: Moments(cells, mean_G, cells * mean_G**2 + spread) for group, mean_G in means.items()}


@pytest.mark.parametrize(("slope", "size"), [(0.8, 1.25), (1.3, 1.0), (0.2, 1.5), (-0.5, 1.0)])
def test_the_size_is_one_over_the_slope_in_the_training_groups(models, slope, size):
    of, known = effects(models), contexts()
    means = {(code, CONTROL): known.means[code, CONTROL] for code in range(3)}
    means |= {(code, A): means[code, CONTROL] + of.flow_change(code, P_A) / slope for code in range(3)}
    assert calibrated(of, moments_of(means), known, 1.5).size == pytest.approx(size, rel=1e-6)


def test_groups_whose_change_is_noise_do_not_tell_the_size(models):
    of, known = effects(models), contexts()
    control = known.means[0, CONTROL]
    means = {(0, CONTROL): control, (0, A): control + of.flow_change(0, P_A) / 0.8}
    assert calibrated(of, moments_of(means, cells=3, spread=9.0), known, 1.5).size == 1.0


@pytest.mark.parametrize("closed_form_is_right", [True, False])
def test_the_prior_weighs_more_where_the_flow_is_worse_even_in_training(models, closed_form_is_right):
    random, known = np.random.default_rng(1), contexts(1.0, 0.5)
    control = {code: known.means[code, CONTROL] for code in range(3)}
    common = random.normal(0, 0.3, GENES)
    plain = effects(models)
    means = {(code, CONTROL): mean for code, mean in control.items()}
    for code, mean in control.items():
        change = common if closed_form_is_right else plain.flow_change(code, P_A)
        means[code, A] = mean + change + random.normal(0, 0.02, GENES)
    of = Effects(*models, Solution("control"), replace(known, means=means))
    found = calibrated(of, moments_of(means), known, 1.0).prior_weight
    assert found > 0.9 if closed_form_is_right else found == 0.5  # never less than what is asked for


@pytest.mark.parametrize("largest", [1.05, 100.0])
def test_a_change_is_divided_by_the_root_of_its_reliability_where_the_perturbation_was_not_measured(models, largest):
    known = contexts(1.2, 0.5)
    less = replace(known, means={group: mean for group, mean in known.means.items() if group != (1, A)})
    new, same = (Effects(*models, Solution("control"), less, largest_transfer=most) for most in (largest, 1.0))
    control = known.means[1, CONTROL]
    untold = new.prior.context_response.untold(
        (0, A)
    )  # of the controls' noise; each mean's is that of `small_contexts`
    reliability = new.prior.reliability(control, A, np.full(2, 1e-4 * (1 + untold)), 1)
    assert reliability < 0.9
    factor, expected = min(reliability**-0.5, largest), same.of(1, P_A).change_G
    inside = (expected > -control) & (factor * expected > -control)  # no gene falls below 0
    assert inside.sum() > GENES / 2
    np.testing.assert_allclose(new.of(1, P_A).change_G[inside], factor * expected[inside], rtol=1e-9)
    np.testing.assert_array_equal(new.of(0, P_A).change_G, same.of(0, P_A).change_G)  # measured there


def test_what_no_context_was_measured_under_is_the_sum_of_its_treatments(models):
    both, half = np.array([1.0, 1.0], np.float32), np.array([0.5, 0.0], np.float32)
    known, of = contexts(), effects(models, 1.4, 0.5)
    own = [known.means[1, label] - known.means[1, CONTROL] for label in (0, 1)]
    for p_P, expected in ((both, own[0] + own[1]), (half, own[0] / 2)):
        np.testing.assert_allclose(of.of(1, p_P).change_G, np.maximum(expected, -known.means[1, CONTROL]), atol=1e-9)


def test_the_flow_carries_no_cells_to_a_sum_but_those_of_types_without_controls(models):
    both, of = np.array([1.0, 1.0], np.float32), effects(models, 1.4, 0.5)
    types = np.array([1, 3, 0])  # of 3 there are no training controls, so all it has is the flow
    doses_BP, offset_BG = of.applied(types, both)
    np.testing.assert_array_equal(doses_BP, [[0, 0], [1, 1], [0, 0]])
    assert offset_BG[[0, 2]].any(dim=1).all()
    assert not offset_BG[1].any()
    np.testing.assert_array_equal(of.applied(types, P_A)[0], [P_A] * 3)  # measured, and so the flow's
    np.testing.assert_array_equal(effects(models, 1.4, 0.0).applied(types, both)[0], [both] * 3)  # the flow alone
    controls = contexts().cells.select(np.flatnonzero(contexts().cells.cell_type == 1))
    found = predicted(models, of, controls, both).int_BI
    np.testing.assert_array_equal(found, predicted(models, of, controls, np.zeros(2, np.float32)).int_BI)


def test_the_flow_keeps_its_say_in_a_combination_of_which_a_part_was_not_measured_alone(models):
    both, known = np.array([1.0, 1.0], np.float32), contexts()
    without = replace(known, means={group: mean_G for group, mean_G in known.means.items() if group[1] != 1})
    of = Effects(*models, Solution("control"), replace(without, calibration=Calibration(1.4, 0.5)))
    flow, control_G = effects(models).flow_change(1, both), known.means[1, CONTROL]
    expected = 0.5 * 1.4 * flow + 0.5 * (known.means[1, A] - control_G)
    np.testing.assert_allclose(of.of(1, both).change_G, np.maximum(expected, -control_G), atol=1e-9)
    np.testing.assert_array_equal(of.applied(np.array([1]), both)[0], [both])


def test_contexts_are_read_back(tmp_path):
    kept = replace(contexts(), calibration=Calibration(1.25, 0.5))
    save_contexts(tmp_path / "contexts", kept)
    found = load_contexts(tmp_path / "contexts")
    assert found.calibration == kept.calibration
    assert (found.genes, found.categories, found.control, found.target) == (
        kept.genes, kept.categories, kept.control, kept.target,
    )  # fmt: skip
    assert list(found.means) == list(kept.means)
    for read, written in ((found.means, kept.means), (found.noise, kept.noise)):
        np.testing.assert_array_equal(np.stack(list(read.values())), np.stack(list(written.values())))
    np.testing.assert_array_equal(found.cells.dense(slice(None)), kept.cells.dense(slice(None)))
    np.testing.assert_array_equal(found.doses_CP, [[1, 0], [0, 1], [0, 0]])
