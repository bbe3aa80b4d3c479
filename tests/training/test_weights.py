import json
import subprocess
import sys

import pytest
import torch

from pipeline.errors import ExpectedError
from pipeline.models.flow import FlowField
from pipeline.models.vae import Vae
from pipeline.training.weights import load_model, save_model


def vae(genes=6):
    return Vae(genes, 2, 2, 3, 2, [8], [8], "softplus", 2, 0.1, 100.0)


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "vae", vae(), {"control": "ctrl"})
    return tmp_path / "vae"


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_model_comes_back_with_its_weights_and_description_in_eval_mode(tmp_path):
    model = vae()
    save_model(tmp_path / "m", model, {"control": "ctrl"})
    again, config = load_model(tmp_path / "m", Vae)
    assert config["control"] == "ctrl"
    assert not again.training
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert {path.name for path in (tmp_path / "m").iterdir()} == {"weights.safetensors", "config.json"}


def test_loading_draws_no_random_numbers(folder):
    before = torch.get_rng_state()
    load_model(folder, Vae)
    assert torch.equal(before, torch.get_rng_state())


def test_loading_does_not_import_torchs_compiler(folder):
    code = (
        "import sys; from pathlib import Path; from pipeline.models.vae import Vae; "
        "from pipeline.training.weights import load_model; load_model(Path(sys.argv[1]), Vae); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 0


def test_equal_models_are_equal_bytes_readable_by_others(folder, tmp_path):
    model, _ = load_model(folder, Vae)
    save_model(tmp_path / "again", model, {"control": "ctrl"})
    for name in ("weights.safetensors", "config.json"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
        assert (folder / name).stat().st_mode & 0o044 == (folder.stat().st_mode & 0o044)


def test_saving_replaces_the_previous_model(folder):
    save_model(folder, vae(genes=9), {})
    model, config = load_model(folder, Vae)
    assert model.arguments["genes"] == 9
    assert "control" not in config


def test_no_model(tmp_path):
    with pytest.raises(ExpectedError, match=r"config.json is missing"):
        load_model(tmp_path, Vae)


def test_weights_missing(folder):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ExpectedError, match=r"weights.safetensors is missing"):
        load_model(folder, Vae)


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_a_truncated_file(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ExpectedError, match=rf"{name} is damaged"):
        load_model(folder, Vae)


def test_a_config_of_another_model(folder):
    with pytest.raises(ExpectedError, match=r"describes 'Vae'.*expected 'FlowField'"):
        load_model(folder, FlowField)


def test_another_schema_version(folder):
    change_config(folder, schema_version=99)
    with pytest.raises(ExpectedError, match="version 99"):
        load_model(folder, Vae)


def test_sizes_that_do_not_fit(folder):
    arguments = vae().arguments | {"genes": 7}
    change_config(folder, arguments=arguments)
    with pytest.raises(ExpectedError, match=r"log_theta_G is \(6,\), expected \(7,\)"):
        load_model(folder, Vae)


def test_arguments_that_the_model_does_not_take(folder):
    change_config(folder, arguments={"nonsense": 1})
    with pytest.raises(ExpectedError, match="do not make a Vae"):
        load_model(folder, Vae)
