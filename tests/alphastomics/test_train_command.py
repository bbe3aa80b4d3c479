"""`python -m pipeline train`: what a run is started with is kept, and it goes on from where it was killed.

The network is a stand-in: a line fitted by the real loop with real checkpoints.
"""

import math
import shutil
import sys
import types
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from pipeline import cli
from pipeline.alphastomics.commands.train import STAGE
from pipeline.alphastomics.params.diffusion import Diffusion
from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json
from pipeline.nn.model_config import ModelConfig
from pipeline.training.fit import fit
from pipeline.training.weights import load_model
from tests.settled import settled

ROOT = Path(__file__).parents[2]
STORE = Path("data/processed/alphastomics/tissue/held_out")
FULL = ["-S", "ffn=moe", "-S", "experts=8", "-S", "top_k=2", "-S", "gate=elementwise", "--exp-name", "full"]


class KilledError(Exception):
    """Stands in for the end of the process."""


class LineConfig(ModelConfig):
    slope: float = 0.0


LINE = LineConfig()


class Line(nn.Module):
    """A model, its objective and its data in one."""

    def __init__(self, config: LineConfig = LINE, kill_at=None, spoilt=False):
        super().__init__()
        self.config = config
        self.slope = nn.Parameter(torch.tensor(config.slope))
        self.kill_at, self.spoilt = kill_at, spoilt

    def forward(self, batch, generator):
        noise = 0.1 * torch.randn((), generator=generator)
        return {
            "loss": (self.slope * batch.sum() - 2 * batch.sum() + noise).square() * (math.nan if self.spoilt else 1)
        }

    def __len__(self):
        return 2

    def epoch(self, number, start=0):
        if number == self.kill_at:
            raise KilledError
        yield from [torch.ones(1), torch.ones(1)][start:]

    def names(self, _batch):
        return ["one"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project with params.yaml, a store and a stage that trains the stand-in and keeps what it was asked."""
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    plain = {"ffn": "dense", "gate": "none", "masking": "none"}
    content["alphastomics"]["diffusion"] |= {"epochs": 4, "learning_rate": 0.1, "weight_decay": 0.0, **plain}
    Path("params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    settled(tmp_path)
    store = STORE
    store.mkdir(parents=True)
    (store / "dataset.json").write_text('{"cells": 3}', encoding="utf-8")
    stage = types.ModuleType(STAGE)
    stage.asked, stage.kill_at, stage.spoilt = [], None, False

    def train_model(settings, store, kept):
        assert isinstance(settings, Diffusion)
        stage.asked.append((settings, store))
        line = Line(kill_at=stage.kill_at, spoilt=stage.spoilt)
        with torch.random.fork_rng():
            fitted = fit("line", line, line, Line(), settings, torch.device("cpu"), kept)
        return fitted, line, {"genes": ["g"]}

    stage.train_model = train_model
    monkeypatch.setitem(sys.modules, STAGE, stage)
    return stage


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "alphastomics", *arguments])
    return int(ended.value.code or 0)


def error(capsys, *arguments: str) -> str:
    assert call(*arguments) == 2
    return capsys.readouterr().err


def files(folder="outputs/full"):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_a_run_keeps_its_configuration_curve_and_model(project, capsys):
    modes = ["-S", "alphastomics.diffusion.modes.joint=0.4", "-S", "modes.pos_to_expr=0.1"]
    assert call(*FULL, "-S", "epochs=3", *modes) == 0
    settings, store = project.asked[0]
    changed = (settings.ffn, settings.experts, settings.top_k, settings.gate, settings.epochs)
    assert changed == ("moe", 8, 2, "elementwise", 3)
    assert settings.modes.model_dump() == {"joint": 0.4, "expr_to_pos": 0.5, "pos_to_expr": 0.1}
    assert store == STORE
    kept = yaml.safe_load(Path("outputs/full/config.yaml").read_text())
    assert kept["alphastomics"]["diffusion"] == settings.model_dump()
    assert kept["data"] == "data/processed/alphastomics/tissue/held_out"
    assert len(Path("outputs/full/curve.csv").read_text().splitlines()) == 1 + 3
    assert read_json(Path("outputs/full/metrics.json"))["epochs"] == 3
    model, description = load_model(Path("outputs/full/model"), Line)
    assert description["genes"] == ["g"]
    assert model.slope.item() != 0
    assert not (paths.CHECKPOINTS / "train" / "full").exists()
    assert "of 3 epochs" in capsys.readouterr().out


def test_the_configuration_of_a_run_is_a_file_to_start_another_with(project):
    assert call(*FULL, "-S", "seed=7") == 0
    assert call("--config", "outputs/full/config.yaml", "--exp-name", "again", "-S", "epochs=2") == 0
    first, second = (settings for settings, _ in project.asked)
    assert second == first.model_copy(update={"epochs": 2})
    assert Diffusion(**yaml.safe_load(Path("params.yaml").read_text())["alphastomics"]["diffusion"]).ffn == "dense"


def test_a_killed_run_resumed_ends_in_the_same_bytes(project):
    assert call(*FULL) == 0
    whole = files()
    shutil.rmtree("outputs")
    project.kill_at = 2
    with pytest.raises(KilledError):
        cli.main(["train", "alphastomics", *FULL])
    assert set(files()) == {"config.yaml"}
    project.kill_at = None
    Path("params.yaml").unlink()  # a resumed run has its own configuration, whatever the file says by now
    assert call("--resume", "--exp-name", "full") == 0
    assert files() == whole
    assert project.asked[-1] == project.asked[0]


def test_a_resumed_run_starts_at_the_epoch_where_it_was_killed(project, capsys):
    project.kill_at = 2
    with pytest.raises(KilledError):
        cli.main(["train", "alphastomics", *FULL])
    capsys.readouterr()
    project.kill_at = None
    assert call(*FULL, "--resume") == 0
    shown = capsys.readouterr()
    assert "continues at epoch 3" in shown.out + shown.err


def test_a_finished_run_is_not_trained_again(project, capsys):
    assert call(*FULL) == 0
    whole = files()
    assert call(*FULL, "--resume") == 0
    assert "outputs/full is finished" in capsys.readouterr().out
    assert len(project.asked) == 1
    assert files() == whole


def test_an_existing_name_is_refused_without_resume(project, capsys):
    assert call(*FULL) == 0
    whole = files()
    assert "outputs/full exists: choose another --exp-name, or" in error(capsys, *FULL, "-S", "epochs=1")
    assert files() == whole


def killed(project):
    project.kill_at = 2
    with pytest.raises(KilledError):
        cli.main(["train", "alphastomics", *FULL])
    project.kill_at = None


def test_another_configuration_is_not_resumed(project, capsys):
    killed(project)
    said = error(capsys, "--resume", *FULL, "-S", "learning_rate=0.5", "-S", "seed=3")
    assert "learning_rate: 0.1 and 0.5" in said
    assert "seed: 0 and 3" in said
    said = error(capsys, "--resume", "--config", "params.yaml", "--exp-name", "full")
    assert "ffn: moe and dense" in said
    assert len(project.asked) == 1


def test_other_data_are_not_resumed_but_the_same_may_have_moved(project, capsys):
    killed(project)
    store = STORE
    shutil.move(store, "moved")
    assert "no store in data/processed/alphastomics/tissue/held_out" in error(capsys, *FULL, "--resume")
    store.mkdir()
    (store / "dataset.json").write_text('{"cells": 4}')
    assert "is not what it was" in error(capsys, *FULL, "--resume")
    assert call(*FULL, "--resume", "--data", "moved") == 0
    assert project.asked[-1][1] == Path("moved")


def test_checkpoints_of_other_code_are_not_resumed(project, capsys, monkeypatch):
    killed(project)
    monkeypatch.setattr("pipeline.training.checkpoint._code", lambda: {"pipeline.x": "0000"})
    assert "the code, torch or config.yaml has changed since" in error(capsys, *FULL, "--resume")
    assert len(project.asked) == 1


def test_a_new_run_does_not_go_on_with_one_of_its_name_that_was_deleted(project, capsys):
    killed(project)
    shutil.rmtree("outputs/full")
    assert call(*FULL) == 0
    shown = capsys.readouterr()
    assert "continues" not in shown.out + shown.err


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_over(project):
    project.kill_at = 0
    with pytest.raises(KilledError):
        cli.main(["train", "alphastomics", *FULL])
    project.kill_at = None
    assert call(*FULL, "--resume") == 0
    assert (Path("outputs/full") / "model").exists()


def test_a_run_that_learned_nothing_leaves_its_name_free(project, capsys):
    project.spoilt = True
    assert "not finite" in error(capsys, *FULL)
    assert not Path("outputs/full").exists()
    project.spoilt = False
    assert call(*FULL) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--exp-name", "x", "-S", "gate=elementwize"], "gate = 'elementwize': Input should be 'none', 'headwise' or"),
        (["--exp-name", "x", "-S", "learing_rate=1"], "learing_rate: unknown key; did you mean 'learning_rate'?"),
        (["--exp-name", "x", "--exprs", "8"], "unrecognized arguments"),
        (["--exp-name", "x", "-S", "ffn=moe", "-S", "ffn=dense"], "ffn is given twice"),
        (["--exp-name", "x", "-S", "experts=8"], "experts has no effect while ffn is dense"),
        (["--exp-name", "x", "-S", "masked_genes=0.5"], "masked_genes has no effect while masking is none"),
        (["--exp-name", "x", "-S", "ffn=moe", "-S", "top_k=9"], "top_k (9) must not exceed experts (4)"),
        (["--exp-name", "../x"], "--exp-name '../x': expected letters"),
        (["--exp-name", ".x"], "--exp-name '.x': expected letters"),
        (["--exp-name", "x", "--config", "no.yaml"], "no.yaml not found"),
        (["--exp-name", "x", "--config", "other.yaml"], "other.yaml has no section 'alphastomics.diffusion'"),
        (["--exp-name", "x", "--data", "nowhere"], "no store in nowhere"),
        (["--exp-name", "x", "--resume"], "no training in outputs/x to resume; outputs holds none"),
        ([], "--exp-name"),
    ],
)
def test_a_wrong_call_is_one_message_and_leaves_nothing(project, capsys, arguments, expected):
    Path("other.yaml").write_text("vae: {}\n", encoding="utf-8")
    assert expected in error(capsys, *arguments)
    assert not Path("outputs").exists()
    assert project.asked == []


def test_a_misspelt_name_to_resume_names_the_right_one(project, capsys):
    killed(project)
    said = error(capsys, "--resume", "--exp-name", "ful")
    assert "no training in outputs/ful to resume; did you mean 'full'?" in said


def test_a_misspelt_system_names_the_right_one(project, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "alphastomic", "--exp-name", "x"])
    assert ended.value.code == 2
    assert "no system 'alphastomic'; did you mean 'alphastomics'?" in capsys.readouterr().err


def test_debug_shows_where_a_problem_arose(project):
    with pytest.raises(ExpectedError, match="no store"):
        cli.main(["train", "alphastomics", "--exp-name", "x", "--data", "nowhere", "--debug"])
