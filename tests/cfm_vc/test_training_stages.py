"""The two training stages as processes: killed and continued, repeated, and refused what they cannot use."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipeline.core.files import read_json, write_json
from pipeline.core.sealed import read_sealed, write_sealed
from tests.settled import settled
from tests.stages.stage_process import ROOT, kill_after, run, run_from_start, start

pytestmark = pytest.mark.slow

INSTANCE = "pbmc-held_out-0"
STORE = Path("data/processed/cfm_vc/pbmc/held_out")
REPORTS = "reports/cfm_vc/pbmc"
MODELS = "models/cfm_vc/pbmc/held_out/seed_0"
OUTS = {
    stage: [
        f"{MODELS}/{name}",
        f"{REPORTS}/training/held_out-0-{name}.json",
        f"{REPORTS}/curves/held_out-0-{name}.csv",
    ]
    for stage, name in {"vae_pretrain": "vae", "flow_train": "flow"}.items()
}
SMALL = {
    "vae": {"hidden": [32], "latent_intrinsic": 4, "latent_technical": 2, "batch_size": 16, "epochs": 12},
    "flow": {"hidden": [32], "batch_size": 16, "epochs": 12},
}


@pytest.fixture
def project(tmp_path, perturbation_store):
    """Makes a project of a small store, with params.yaml changed."""

    def make(name: str = "project", cells_per_group: int = 40, **changes: dict[str, object]) -> Path:
        folder = tmp_path / name
        perturbation_store(folder / STORE, cells_per_group=cells_per_group)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        for section, values in SMALL.items():
            params["cfm_vc"][section].update({**values, **changes.get(section, {})})
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        settled(folder)
        return folder

    return make


def finish(folder: Path, stage: str, code: int = 0) -> str:
    return run(folder, f"pipeline.cfm_vc.stages.{stage}", INSTANCE, code=code)


def outs(folder: Path, stage: str) -> dict[str, bytes]:
    """Content of every file the stage makes, and of nothing that lies beside them."""
    found = [folder / out for out in OUTS[stage] if (folder / out).exists()]
    files = [file for path in found for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def remove(folder: Path, stage: str) -> None:
    for out in OUTS[stage]:
        path = folder / out
        path.unlink() if path.is_file() else shutil.rmtree(path)


@pytest.mark.parametrize("stage", ["vae_pretrain", "flow_train"])
def test_a_stage_killed_at_random_moments_ends_in_the_same_bytes(project, stage):
    """Five kills of each stage, one in each fifth of its time, in random order, and one while it trains for certain."""
    folder = project(cells_per_group=100, **({"vae": {"epochs": 1}} if stage == "flow_train" else {}))
    finish(folder, "vae_pretrain")  # the flow needs it; and the server of processes takes seconds before its first one
    began = time.monotonic()
    finish(folder, stage)
    duration = time.monotonic() - began
    uninterrupted = outs(folder, stage)
    assert len(uninterrupted) == 4  # weights, configuration, metrics, curve
    remove(folder, stage)

    draw = random.Random(0)
    moments = [duration * (fifth + draw.random()) / 5 for fifth in range(5)]
    draw.shuffle(moments)
    while moments:
        process = start(folder, f"pipeline.cfm_vc.stages.{stage}", INSTANCE)
        try:
            process.communicate(timeout=moments[0])
            moments[0] *= 0.9  # what was left to do took less; from clean again, and no kill counted
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            moments.pop(0)
    finish(folder, stage)
    assert outs(folder, stage) == uninterrupted
    kill_after(folder, f"pipeline.cfm_vc.stages.{stage}", INSTANCE, said=" validation ", times=2)
    assert "continues at epoch" in finish(folder, stage)
    assert outs(folder, stage) == uninterrupted
    assert not list((folder / ".checkpoints" / stage).glob("*/*"))
    assert not list(folder.rglob("*.partial"))


# Imports the stage once. For every number N on standard input a child runs it, and is killed just before the N-th
# time that it syncs or renames a file; says how the child ended.
KILLED_AT_EACH_WRITE = """
import importlib, os, signal, sys
from pipeline.core.paths import StudyPaths
from pipeline.registry import load_params
stage = importlib.import_module(sys.argv[1])

def dies_before(function):
    def call(*arguments):
        global calls_left
        calls_left -= 1
        if not calls_left:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call

for number in map(int, sys.stdin):
    child = os.fork()
    if not child:
        calls_left = number
        os.fsync, os.replace = dies_before(os.fsync), dies_before(os.replace)
        sys.stdout = sys.stderr
        section = stage.SECTION.rpartition(".")[2]
        settings = getattr(load_params().cfm_vc.studies["pbmc"], section)
        stage.run(settings, StudyPaths("cfm_vc", "pbmc", "held_out", 0))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print({0: "finished", signal.SIGKILL: "killed"}.get(status, f"ended with {status}"), flush=True)
"""


def test_a_stage_killed_at_each_of_its_writes_leaves_whole_files_and_ends_in_the_same_bytes(project):
    folder = project(vae={"epochs": 1})
    params = folder / "params.yaml"
    wanted = params.read_text()
    finish(folder, "vae_pretrain")
    expected = outs(folder, "vae_pretrain")
    params.write_text(wanted.replace("latent_intrinsic: 4", "latent_intrinsic: 5"))
    settled(folder)
    finish(folder, "vae_pretrain")
    previous = outs(folder, "vae_pretrain")
    params.write_text(wanted)
    settled(folder)
    assert not set(previous.values()) & set(expected.values())

    kills, number, trained = 0, 0, False
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_AT_EACH_WRITE, "pipeline.cfm_vc.stages.vae_pretrain"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    ) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        while True:
            number += 1
            driver.stdin.write(f"{number}\n")
            ended = driver.stdout.readline().strip()
            if ended == "finished":
                break
            assert ended == "killed"
            kills += 1
            found = outs(folder, "vae_pretrain")
            for out in OUTS["vae_pretrain"]:
                whole = [{f: c for f, c in run.items() if f.startswith(out)} for run in (found, previous, expected)]
                assert whole[0] in (whole[1], whole[2], {}), f"half of {out}"
            if not trained and list((folder / ".checkpoints").glob("*/*/*.pt")):
                trained, number = True, 0  # from here on a run goes straight to its outs: each of their writes in turn
        driver.stdin.close()
    assert kills >= 10
    assert len(expected) == 4
    assert outs(folder, "vae_pretrain") == expected
    assert not list(folder.rglob("*.partial"))


def test_two_runs_from_clean_are_the_same_bytes(project):
    first, second = project("first"), project("second")
    for stage in OUTS:
        finish(first, stage)
        run_from_start(second, f"pipeline.cfm_vc.stages.{stage}", INSTANCE)
        assert outs(first, stage) == outs(second, stage)


def test_another_seed_gives_other_weights(project):
    folder = project()
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["cfm_vc"]["studies"]["pbmc"]["seeds"] = [0, 1]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    settled(folder)
    models = folder / "models/cfm_vc/pbmc/held_out"
    for seed in (0, 1):
        run(folder, "pipeline.cfm_vc.stages.vae_pretrain", f"pbmc-held_out-{seed}")
    first, second = (models / f"seed_{seed}/vae/weights.safetensors" for seed in (0, 1))
    assert first.read_bytes() != second.read_bytes()


def test_a_loss_that_is_not_finite_stops_the_stage_and_leaves_what_was_there(project):
    folder = project()
    finish(folder, "vae_pretrain")
    before = outs(folder, "vae_pretrain")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["cfm_vc"]["vae"].update(learning_rate=100.0, gradient_clip=1e9)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    settled(folder)
    output = finish(folder, "vae_pretrain", code=2)
    assert "is not finite in training, epoch 1, step" in output
    assert "in the batch:" in output
    assert "lower learning_rate or gradient_clip" in output
    assert "Traceback" not in output
    assert outs(folder, "vae_pretrain") == before


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(project):
    folder = project(cells_per_group=200)
    finish(folder, "vae_pretrain")
    uninterrupted = outs(folder, "vae_pretrain")
    kill_after(folder, "pipeline.cfm_vc.stages.vae_pretrain", INSTANCE, said="epoch 4/")
    (latest,) = (folder / ".checkpoints" / "vae_pretrain").glob("*/latest.pt")
    latest.write_bytes(latest.read_bytes()[:1000])
    output = finish(folder, "vae_pretrain")
    assert f"checkpoint {latest.relative_to(folder)} is damaged" in output
    assert "continues at epoch" in output
    assert outs(folder, "vae_pretrain") == uninterrupted


def test_a_missing_store_names_the_stage_that_makes_it(project):
    folder = project()
    shutil.rmtree(folder / STORE)
    output = finish(folder, "vae_pretrain", code=2)
    assert "no store in data/processed/cfm_vc/pbmc/held_out" in output
    assert "preprocess@cfm_vc-pbmc-held_out" in output


def test_a_store_of_another_schema_is_refused(project):
    folder = project()
    dataset = read_json(folder / STORE / "dataset.json")
    write_json(folder / STORE / "dataset.json", dataset | {"schema_version": 99})
    assert "schema version 99" in finish(folder, "vae_pretrain", code=2)


def test_a_vae_of_other_data_is_refused(project):
    folder = project()
    finish(folder, "vae_pretrain")
    config = folder / "models/cfm_vc/pbmc/held_out/seed_0/vae/config.json"
    content = json.dumps(read_sealed(config))
    assert "gene0" in config.read_text()
    write_sealed(config, json.loads(content.replace("gene0", "another")), "weights.safetensors")
    output = finish(folder, "flow_train", code=2)
    assert "was trained on different data" in output
    assert "dvc repro vae_pretrain@pbmc-held_out-0" in output
