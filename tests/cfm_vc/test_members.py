"""Ensembles: what is averaged, what belongs together, and how their members are planned."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.cfm_vc.data.contexts import Calibration
from pipeline.cfm_vc.members import load_members
from pipeline.cfm_vc.model.effects import Effects, Member
from pipeline.cfm_vc.model.transport import Solution
from pipeline.cfm_vc.trained import CfmVc
from pipeline.core.entry import instance
from pipeline.core.errors import ExpectedError
from pipeline.core.sealed import read_sealed, write_sealed
from pipeline.params.folds import Fold
from pipeline.plan import plan_of
from pipeline.registry import load_params
from pipeline.training.determinism import member_seed
from tests.cfm_vc.small_models import small_contexts, small_field, small_vae

CPU, SOLUTION = torch.device("cpu"), Solution("control")
CATEGORIES = {"perturbation": ["A", "B", "control"], "cell_type": ["x", "y", "z"], "batch": ["a", "b"]}
P_A = np.array([1.0, 0.0], np.float32)


def member(seed, *calibration):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae, field = small_vae().eval(), small_field().eval()
        for parameter in field.parameters():  # an untrained field stands still
            torch.nn.init.normal_(parameter, std=0.7)
    return Member(vae, field, Calibration(*calibration))


def effects(first, *others):
    doses = {"control": {}, "A": {"A": 1.0}, "B": {"B": 1.0}}
    contexts = replace(small_contexts(12, CATEGORIES, doses), calibration=first.calibration)
    return Effects(first.vae, first.field, SOLUTION, contexts, others)


def test_the_change_is_the_mean_over_members_each_in_its_own_size():
    one, other = member(0, 1.2, 0.25), member(1, 1.5, 0.5)
    alone = [effects(each).of(1, P_A).change_G for each in (one, other)]
    both = effects(one, other).of(1, P_A)
    np.testing.assert_allclose(both.change_G, np.mean(alone, axis=0), atol=0.02)  # each alone is clipped at 0
    np.testing.assert_allclose(both.deviation_G, np.std(alone, axis=0, ddof=1), atol=0.02)
    assert np.abs(alone[0] - alone[1]).max() > 0.1  # negative control
    assert effects(one).of(1, P_A).deviation_G is None


def test_a_model_averaged_with_itself_is_that_model():
    one = member(0, 1.2, 0.25)
    alone, twice = effects(one).of(1, P_A), effects(one, one).of(1, P_A)
    np.testing.assert_array_equal(alone.change_G, twice.change_G)
    np.testing.assert_array_equal(alone.offset_G, twice.offset_G)
    assert not twice.deviation_G.any()


def test_an_ensemble_without_calibration_is_still_averaged():
    one, other = member(0, 1.0, 0.0), member(1, 1.0, 0.0)
    assert effects(one).of(1, P_A) is None
    found = effects(one, other)
    changes = [found.flow_change(1, P_A, number) for number in range(2)]
    control = found._controls[1]
    np.testing.assert_allclose(found.of(1, P_A).change_G, np.maximum(np.mean(changes, axis=0), -control))


@pytest.fixture
def ensemble(saved_cfm_vc, tmp_path):
    """The folder of a model, with a second member in it."""
    saved_cfm_vc(tmp_path / "member_1")
    folder = saved_cfm_vc(tmp_path / "models")
    (tmp_path / "member_1").rename(folder / "member_1")
    return folder


def test_members_are_loaded_with_the_first(ensemble):
    assert len(load_members(ensemble, CPU)) == 1
    assert load_members(ensemble, CPU, 1) == []  # as many as are asked for, whatever else lies there
    model = CfmVc.load(ensemble)
    assert model.provenance["members"] == 2
    assert model.effects(SOLUTION).of(0, np.array([1.0, 0.0], np.float32)).deviation_G is not None


def test_a_missing_member_is_named(ensemble):
    with pytest.raises(ExpectedError, match=r"no usable model in .*member_2"):
        load_members(ensemble, CPU, 3)


@pytest.mark.parametrize(
    ("change", "belongs"),
    [({"seed": 5}, True), ({"threads": 2}, True), ({"hidden": [9]}, False)],
)
def test_members_share_all_parameters_but_the_seed(ensemble, change, belongs):
    path = ensemble / "member_1" / "flow" / "config.json"
    config = read_sealed(path)
    config["provenance"].setdefault("parameters", {}).update(change)
    write_sealed(path, config, "weights.safetensors")
    if belongs:
        assert len(load_members(ensemble, CPU)) == 1
    else:
        with pytest.raises(ExpectedError, match=r"member_1 and the model in .* are no members of one ensemble"):
            load_members(ensemble, CPU)


def test_a_flow_of_another_vae_is_no_member(ensemble):
    path = ensemble / "member_1" / "flow" / "config.json"
    config = read_sealed(path)
    config["provenance"]["vae_sha256"] = "0"
    write_sealed(path, config, "weights.safetensors")
    with pytest.raises(ExpectedError, match="member_1 was trained on another VAE"):
        load_members(ensemble, CPU)


def test_each_member_is_a_stage_of_its_own(tmp_path, monkeypatch):
    params = load_params()
    study = params.cfm_vc.studies["pbmc"]
    study = study.model_copy(update={"evaluate": study.evaluate.model_copy(update={"members": 2})})
    params.cfm_vc.studies["pbmc"] = study
    fold = Fold(study.preprocess, [3])
    plan = plan_of(params, {("cfm_vc", "pbmc"): {"held_out": fold}}, {})
    assert list(plan["cfm_vc"]["runs"]) == ["pbmc-held_out-3", "pbmc-held_out-3-member_1"]
    first, second = plan["cfm_vc"]["runs"].values()
    assert (first["model"], second["model"]) == (
        "models/cfm_vc/pbmc/held_out/seed_3",
        "models/cfm_vc/pbmc/held_out/seed_3/member_1",
    )
    assert second["files"] == "held_out-3-member_1"
    assert list(plan["runs"]) == ["cfm_vc-pbmc-held_out-3"]  # scored together
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(f"plan: {plan}")
    assert instance("cfm_vc", "pbmc-held_out-3-member_1").model.as_posix() == second["model"]


def test_members_have_seeds_of_their_own():
    seeds = {member_seed(seed, number) for seed in range(20) for number in range(20)}
    assert len(seeds) == 400
    assert [member_seed(seed, 0) for seed in range(20)] == list(range(20))
    assert max(seeds) < 2**31
