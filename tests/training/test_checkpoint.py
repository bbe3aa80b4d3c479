import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from pipeline.cfm_vc.params.vae import Vae
from pipeline.core import paths
from pipeline.core.manifest_imports import import_only
from pipeline.params.section import Section
from pipeline.params.sweep import Training
from pipeline.training.checkpoint import Checkpoints, checkpoints

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "key"


def test_the_latest_state_comes_back(folder):
    Checkpoints(folder).save({"weights": torch.arange(3.0), "epoch": 1, "curve": [{"loss": 0.5}]})
    Checkpoints(folder).save({"weights": torch.arange(4.0), "epoch": 2, "curve": []})
    state = Checkpoints(folder).load(CPU)
    assert state["epoch"] == 2
    assert torch.equal(state["weights"], torch.arange(4.0))


def test_without_a_checkpoint_there_is_none(folder):
    assert Checkpoints(folder).load(CPU) is None


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:-1] + b"?", lambda _: b""])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(folder, capsys, damage):
    keeper = Checkpoints(folder)
    keeper.save({"epoch": 1})
    keeper.save({"epoch": 2})
    latest = folder / "latest.pt"
    latest.write_bytes(damage(latest.read_bytes()))
    assert keeper.load(CPU) == {"epoch": 1}
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert str(latest) in message
    assert "damaged" in message


def test_when_both_are_damaged_training_starts_anew(folder, capsys):
    keeper = Checkpoints(folder)
    keeper.save({"epoch": 1})
    keeper.save({"epoch": 2})
    for path in folder.iterdir():
        path.write_bytes(b"x")
    assert keeper.load(CPU) is None
    assert capsys.readouterr().err.count("is damaged") == 2


def test_a_kill_between_the_two_renames_loses_nothing(folder):
    keeper = Checkpoints(folder)
    keeper.save({"epoch": 1})
    keeper.save({"epoch": 2})
    (folder / "latest.pt").rename(folder / "next.pt")  # what such a kill leaves
    assert keeper.load(CPU) == {"epoch": 2}
    keeper.save({"epoch": 3})
    assert keeper.load(CPU) == {"epoch": 3}
    assert sorted(path.name for path in folder.iterdir()) == ["latest.pt", "previous.pt"]


def test_a_checkpoint_can_hold_no_code(folder):
    keeper = Checkpoints(folder)
    keeper.save({"weights": Checkpoints})
    with pytest.raises(Exception, match="weights_only"):
        keeper.load(CPU)


def test_removed_checkpoints_leave_nothing(folder):
    keeper = Checkpoints(folder)
    keeper.save({"epoch": 1})
    keeper.remove()
    assert not folder.exists()
    keeper.remove()


def settings(**changes):
    values = {
        "latent_intrinsic": 2,
        "latent_technical": 1,
        "hidden": [4],
        "decoder_hidden": [],
        "decoder_link": "exponential",
        "covariate_embedding": 2,
        "covariate_dropout": 0.1,
        "kl_weight": 1.0,
        "batch_weight": 0.0,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "gradient_clip": 1.0,
        "batch_size": 4,
        "epochs": 2,
        "patience": 2,
        "seed": 0,
        "threads": 1,
        "device": "cpu",
    }
    return Vae(**(values | changes))


def test_the_key_follows_settings_and_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "dataset.json"
    data.write_text("1")

    def folders(**changes):
        checkpoints("vae_pretrain", settings(**changes), [data]).save({})
        return {path.name for path in (paths.CHECKPOINTS / "vae_pretrain").iterdir()}

    assert len(folders()) == 1
    assert len(folders()) == 1
    assert len(folders(seed=1)) == 2
    data.write_text("2")
    assert len(folders()) == 3


def key_of_code(monkeypatch, source):
    """The folder of checkpoints while a module of the pipeline has this source."""
    file = Path("scratch.py")
    file.write_text(source)
    module = types.ModuleType("pipeline.scratch")
    module.__spec__, module.__file__ = ModuleSpec("pipeline.scratch", None), str(file)
    monkeypatch.setitem(sys.modules, "pipeline.scratch", module)
    return checkpoints("vae_pretrain", settings(), [])._folder


def test_a_comment_keeps_a_checkpoint_and_an_edited_function_loses_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = key_of_code(monkeypatch, "def loss(x):\n    return x * x\n")
    said = 'def loss(x):\n    """The square."""\n    # of one number\n    return x * x\n'
    assert key_of_code(monkeypatch, said) == before
    assert key_of_code(monkeypatch, "def loss(x):\n    return abs(x)\n") != before


def test_the_code_of_a_stage_is_what_its_manifest_says(tmp_path, monkeypatch):
    """Not what else is loaded: the launcher, and the parameters of other systems."""
    monkeypatch.chdir(tmp_path)

    def key(manifest, source):
        monkeypatch.setattr(sys, "meta_path", [*finders])
        import_only("vae_pretrain", manifest)
        return key_of_code(monkeypatch, source)

    finders = list(sys.meta_path)
    before = key({"pipeline/nn/layers.py": "1"}, "x = 1\n")
    assert key({"pipeline/nn/layers.py": "1"}, "x = 2\n") == before
    assert key({"pipeline/nn/layers.py": "2"}, "x = 1\n") != before


def test_another_number_of_processes_goes_on_with_the_same_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    for recipe in (settings(), Training(recipe=settings(), point=Section())):
        inner = settings(processes=2)
        several = inner if recipe == settings() else Training(recipe=inner, point=Section())
        kept, other = (checkpoints("stage", asked, []) for asked in (recipe, several))
        kept.save({"weight": torch.ones(1)})
        state = other.load(torch.device("cpu"))
        assert state is not None
        assert torch.equal(state["weight"], torch.ones(1))
        assert checkpoints("stage", settings(seed=1), []).load(torch.device("cpu")) is None
