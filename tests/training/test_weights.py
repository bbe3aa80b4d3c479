import json
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from pipeline.alphastomics.model.network import SpatialConfig, SpatialDiffusion
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.vae import Vae
from pipeline.core.errors import ExpectedError
from pipeline.core.sealed import read_sealed, write_sealed
from pipeline.training.weights import load_model, save_model
from tests.cfm_vc.small_models import small_vae


def vae(genes=6):
    return small_vae(genes=genes, decoder_hidden=[8], normalised_total=100.0)


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "vae", vae(), {"control": "ctrl"})
    return tmp_path / "vae"


def change_config(folder, **changes):
    """As a forger would: with digests that fit."""
    path = folder / "config.json"
    write_sealed(path, read_sealed(path) | changes, "weights.safetensors")


def change_weights(folder, change):
    tensors = safetensors.torch.load_file(folder / "weights.safetensors")
    safetensors.torch.save_file(change(tensors), folder / "weights.safetensors")
    change_config(folder)


def message(folder, kind=Vae):
    with pytest.raises(ExpectedError) as caught:
        load_model(folder, kind)
    return str(caught.value)


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
        "import sys; from pathlib import Path; from pipeline.cfm_vc.model.vae import Vae; "
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
    assert model.config.genes == 9
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
    change_config(folder, config=vae().config.model_dump() | {"genes": 7})
    with pytest.raises(ExpectedError, match=r"decoder_head.weight is \(6, 8\) of float32, expected \(7, 8\)"):
        load_model(folder, Vae)


def test_a_field_that_the_model_does_not_have(folder):
    change_config(folder, config=vae().config.model_dump() | {"nonsense": 1})
    with pytest.raises(ExpectedError, match="does not make a Vae: ValueError: nonsense: Extra inputs"):
        load_model(folder, Vae)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.999])
@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_a_flipped_bit_is_found(folder, name, place):
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content)) - 1] ^= 1
    (folder / name).write_bytes(content)
    assert f"no usable model in {folder}: {name} is damaged" in message(folder)


def test_every_bit_of_a_number_in_the_configuration_counts(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace("100.0", "100.5"))
    assert "config.json is damaged: it is not what was written; make it again with: dvc repro" in message(folder)


def test_a_model_without_digests_is_of_an_older_version(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(read_sealed(path)))
    assert "config.json keeps no digests, so an older version wrote it" in message(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 1_000_000, "nested too deeply"),
        ("{}", "keeps no digests"),
        ("[]", "not a mapping"),
        ('{"config": NaN}', "it holds NaN"),
        ("", "Expecting value"),
        ('{"a": 1' + "0" * 5000 + "}", "config.json is damaged"),
    ],
)
def test_a_configuration_that_is_none(folder, content, words):
    (folder / "config.json").write_text(content)
    assert words in message(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"genes": -6}, "does not make a Vae: RuntimeError"),
        ({"genes": 10**12}, "decoder_head.weight is (6, 8) of float32, expected (1000000000000, 8)"),
        ({"genes": 10**30}, "does not make a Vae"),
        ({"genes": "6"}, "genes: Input should be a valid integer"),
        ({"genes": 6.0}, "genes: Input should be a valid integer"),
        ({"hidden": 8}, "hidden: "),
        ({"hidden": []}, "does not make a Vae: IndexError"),
        ({"decoder_link": "logistic"}, "decoder_link: Input should be 'exponential' or 'softplus'"),
        ({"covariate_dropout": None}, "covariate_dropout: Input should be a valid number"),
    ],
)
def test_a_forged_configuration_is_one_message_and_allocate_nothing(folder, changes, words):
    change_config(folder, config=vae().config.model_dump() | changes)
    text = message(folder)
    assert words in text
    assert len(text) < 1000


def test_a_field_that_is_missing(folder):
    config = read_sealed(folder / "config.json")
    del config["config"]["genes"]
    write_sealed(folder / "config.json", config, "weights.safetensors")
    assert "does not make a Vae: ValueError: genes: Field required" in message(folder)
    del config["config"]
    write_sealed(folder / "config.json", config, "weights.safetensors")
    assert "does not make a Vae: KeyError" in message(folder)


def test_a_forged_number_of_layers_comes_to_an_end(tmp_path):
    sizes = {
        "genes": 4,
        "space": 2,
        "cell_types": 1,
        "sections": 1,
        "dimensions": 8,
        "layers": 1,
        "heads": 2,
        "hidden": 8,
    }
    model = SpatialDiffusion(SpatialConfig(**sizes))
    save_model(tmp_path / "m", model, {})
    change_config(tmp_path / "m", config=model.config.model_dump() | {"layers": 10**9})
    assert "far more than weights.safetensors" in message(tmp_path / "m", SpatialDiffusion)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t | {"log_theta_G": t["log_theta_G"].double()}, "(6,) of float64, expected (6,) of float32"),
        (lambda t: t | {"log_theta_G": t["log_theta_G"].to(torch.int8)}, "(6,) of int8, expected (6,) of float32"),
        (lambda t: {k: v for k, v in t.items() if k != "log_theta_G"}, "log_theta_G is missing"),
        (lambda t: t | {"more": torch.zeros(2)}, "more is (2,) of float32, expected nothing"),
        (lambda t: {k: v.double() for k, v in t.items()}, "; and "),
    ],
)
def test_forged_weights_that_do_not_fit(folder, change, words):
    change_weights(folder, change)
    assert words in message(folder)
