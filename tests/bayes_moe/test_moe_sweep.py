"""ingest, moe_sweep and evaluate of a study of bayes_moe in a project folder, on the real digits: as processes
where they are killed or refused, and in this one otherwise."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from pipeline.bayes_moe.params.ingest import Ingest
from pipeline.bayes_moe.params.study import Study
from pipeline.bayes_moe.stages import evaluate, ingest, ingest_ood, moe_sweep
from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json
from pipeline.core.paths import StudyPaths
from pipeline.metrics.results import read_results
from tests.settled import settled
from tests.stages.stage_process import ROOT, kill_after, run, written

pytestmark = pytest.mark.slow

AT = StudyPaths("bayes_moe", "digits")
POINTS = {
    "dense": {},
    "top_1": {"experts": 3, "top_k": 1},
    "sampled": {"experts": 3, "top_k": 2, "gate": "gumbel_top_k", "capacity_factor": 1.0, "balance": "importance"},
    "mc_dropout": {"dropout": 0.2, "hidden": 5},
}
SMALL = {
    "width": 2,
    "hidden": 12,
    "epochs": 3,
    "warmup_epochs": 1,
    "batch_size": 128,
    "corrupted_pictures": 20,
}


def configure(folder: Path, points: dict[str, object] = POINTS, **recipe: object) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    study = params["bayes_moe"]["studies"]["digits"]
    study["sweep"] = {"recipe": {**SMALL, "samples": [1, 3], **recipe}, "points": points}
    study["seeds"] = [0, 3]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def sweep(folder: Path, point: str, code: int = 0) -> str:
    return run(folder, "pipeline.bayes_moe.stages.moe_sweep", f"digits-{point}", code=code)


def parameters(folder: Path) -> Study:
    return settled(folder).bayes_moe.studies["digits"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with images and no point trained."""
    folder = tmp_path_factory.mktemp("images")
    configure(folder)
    shutil.copytree(ROOT / "data/embedded", folder / "data/embedded")
    study = parameters(folder)
    assert "1,347 training and 450 test images of 8 x 8 pixels in grey" in run(
        folder, "pipeline.bayes_moe.stages.ingest", "digits"
    )
    with chdir(folder):
        ingest_ood.run(study.ingest_ood, AT)
    return folder


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "project"
    shutil.copytree(images, folder)
    with chdir(folder):
        for point in POINTS:
            moe_sweep.run(parameters(folder).sweep, replace(AT, point=point))
    return folder


def test_a_point_is_trained_with_every_seed_and_asked_about_every_image(trained: Path) -> None:
    answers = load_file(trained / "models/bayes_moe/digits/sampled/answers.safetensors")
    shapes = {name: part.shape for name, part in answers.items()}
    assert shapes == {
        "validation": (2, 201, 10),
        "test": (2, 450, 10),
        "other": (2, 260, 10),
        "corrupted": (2, 10, 5, 20, 10),
        "expert_label": (2, 3, 10),
        "first_expert": (2, 450),
        "same_expert": (2, 10, 5),
        "gate_entropy": (2, 450),
        "experts_used": (2, 450),
        "validation_gate_entropy": (2, 201),
        "sampled_test": (2, 2, 450, 10),
        "sampled_validation": (2, 201, 10),
        "sampled_other": (2, 260, 10),
        "sampled_corrupted": (2, 10, 5, 20, 10),
        "validation_label": (201,),
        "test_label": (450,),
        "corrupted_label": (20,),
    }
    assert not np.array_equal(answers["test"][0], answers["test"][1])
    for part in ("test", "validation", "other", "corrupted"):
        np.testing.assert_allclose(np.exp(answers[f"sampled_{part}"]).sum(-1), 1, rtol=1e-5)
    # Capacity 1 drops some of the 2 x 450 slots, and no expert has more than its share.
    assert (answers["expert_label"].sum(2) <= 4 * np.ceil(2 * 113 / 3)).all()
    assert (answers["expert_label"].sum((1, 2)) < 900).all()
    whole = load_file(trained / "models/bayes_moe/digits/top_1/answers.safetensors")
    np.testing.assert_array_equal(whole["expert_label"].sum(1), np.bincount(whole["test_label"]) * np.ones((2, 1)))
    assert not [name for name in whole if name.startswith("sampled")]
    assert "expert_label" not in load_file(trained / "models/bayes_moe/digits/dense/answers.safetensors")
    dropped = load_file(trained / "models/bayes_moe/digits/mc_dropout/answers.safetensors")
    of_gates = {"gate_entropy", "experts_used", "validation_gate_entropy"}
    assert dropped.keys() == answers.keys() - {"expert_label", "first_expert", "same_expert"} - of_gates
    assert ((answers["gate_entropy"] > 0) & (answers["gate_entropy"] <= 1)).all()
    assert answers["experts_used"].sum() == answers["expert_label"].sum()  # less those that capacity dropped
    assert (whole["experts_used"] == 1).all()
    assert ((answers["same_expert"] >= 0) & (answers["same_expert"] <= 1)).all()
    of_experts = [np.bincount(first_N, minlength=3) for first_N in whole["first_expert"]]
    np.testing.assert_array_equal(whole["expert_label"].sum(2), of_experts)
    config = read_json(trained / "models/bayes_moe/digits/mc_dropout/seed_0/config.json")
    assert (config["config"]["hidden"], config["config"]["dropout"]) == (5, 0.2)
    curve = pd.read_csv(trained / "reports/bayes_moe/digits/curves/top_1.csv")
    assert curve["seed"].tolist() == [0, 0, 0, 3, 3, 3]
    assert {"validation_ece", "train_nll", "train_balance", "validation_entropy", "train_load_2"} <= set(curve.columns)
    np.testing.assert_allclose(curve[[f"train_load_{e}" for e in range(3)]].sum(axis=1), 1, rtol=1e-5)
    assert list(read_json(trained / "reports/bayes_moe/digits/training/top_1.json")) == ["seed_0", "seed_3"]
    assert not list((trained / ".checkpoints").glob("*/*/*"))


def test_the_points_are_compared(trained: Path) -> None:
    with chdir(trained):
        study = parameters(trained)
        evaluate.run(study.sweep, study.evaluate, AT)
        rows = read_results(AT.results, "dvc repro evaluate@bayes_moe-digits")
        points = pd.read_parquet(AT.details / "points.parquet").set_index("point")
        headlines = {path.stem: read_json(path) for path in AT.headlines.iterdir()}
    roles = {row.method: row.role for row in rows}
    of_points = {"dense": "baseline", "top_1": "model", "sampled": "model", "mc_dropout": "baseline"}
    differences = [f"{sparse} - {dense}" for sparse in ("top_1", "sampled") for dense in ("dense", "mc_dropout")]
    assert roles == of_points | dict.fromkeys(differences, "difference")
    assert {row.unit for row in rows} == {"raw", "scaled"}
    assert all((row.low is not None) == (row.role == "difference") for row in rows)

    def of(method: str, metric: str, unit: str = "raw") -> list[float]:
        found = [row.value for row in rows if (row.method, row.metric, row.unit) == (method, metric, unit)]
        return [value for value in found if value is not None]

    answers = load_file(trained / "models/bayes_moe/digits/dense/answers.safetensors")
    right = (answers["test"].argmax(2) == answers["test_label"]).mean(1)
    np.testing.assert_allclose(of("dense", "accuracy"), right, rtol=1e-5)
    np.testing.assert_allclose(of("dense", "accuracy", "scaled"), right, rtol=1e-5)
    (chosen,) = points.index[points["chosen"]]
    assert chosen == min(("top_1", "sampled"), key=lambda name: np.mean(of(name, "validation_nll")))
    assert set(points["twin"]) == {"dense"}
    assert set(headlines) == {"accuracy", "nll_scaled", "ece_scaled"}
    for metric, unit, sign in (("accuracy", "raw", 1), ("nll", "scaled", -1), ("ece", "scaled", -1)):
        ours, theirs = np.mean(of(chosen, metric, unit)), np.mean(of("dense", metric, unit))
        (difference,) = of(f"{chosen} - dense", metric, unit)
        assert difference == pytest.approx(ours - theirs, abs=1e-5)
        found = headlines[metric if unit == "raw" else f"{metric}_{unit}"]
        assert [found["score"], found["baseline"]] == pytest.approx([ours, theirs], rel=1e-5)
        assert found["gain"] == pytest.approx(sign * difference, abs=1e-6)
        assert found["gain_low"] <= found["gain"] <= found["gain_high"]
    folder = trained / "reports/bayes_moe/digits/details"
    corruption = pd.read_parquet(folder / "corruption.parquet")
    assert len(corruption) == 4 * 2 * 10 * 5
    sampled = pd.read_parquet(folder / "sampled.parquet")
    assert sampled["samples"].tolist() == [0, 1, 3] * 4
    assert (sampled.loc[sampled["samples"] == 3, "flops"] > sampled.loc[sampled["samples"] == 1, "flops"].max()).all()
    assert pd.read_parquet(folder / "experts.parquet").groupby(["point", "seed"])["tokens"].sum()["top_1"].tolist() == [
        450,
        450,
    ]
    stability = pd.read_parquet(folder / "stability.parquet")
    assert stability.groupby(["point", "seed"]).size().tolist() == [50] * 4
    assert stability.groupby("severity")["same"].mean()[1] > stability.groupby("severity")["same"].mean()[5]
    agreement = pd.read_parquet(folder / "agreement.parquet")
    assert agreement[["point", "first", "second"]].to_numpy().tolist() == [["sampled", 0, 3], ["top_1", 0, 3]]
    methods = pd.read_parquet(folder / "ensembles.parquet")
    assert list(zip(methods["point"], methods["networks"], methods["samples"], strict=True)) == [
        *(("dense", 1, 0), ("dense", 2, 0), ("mc_dropout", 1, 0), ("mc_dropout", 1, 3)),
        *(("sampled", 1, 0), ("sampled", 1, 3), ("top_1", 1, 0)),
    ]
    assert methods.drop(columns=["low", "high"]).notna().all(axis=None)
    before = written(trained)
    run(trained, "pipeline.bayes_moe.stages.evaluate", "digits")
    assert written(trained) == before


def test_a_point_that_was_killed_goes_on_and_ends_in_the_same_bytes(trained: Path, images: Path) -> None:
    wanted = {path: content for path, content in written(trained).items() if "top_1" in path}
    shutil.rmtree(images / "models", ignore_errors=True)
    for line_of in ("seed 0: epoch 2/", "seed 3: epoch 2/"):
        kill_after(images, "pipeline.bayes_moe.stages.moe_sweep", "digits-top_1", said=line_of)
    assert "seed 3: continues at epoch" in sweep(images, "top_1")
    assert {path: content for path, content in written(images).items() if "top_1" in path} == wanted


def test_dvc_names_the_point_in_the_stages_name(images: Path) -> None:
    for name in ("moe_sweep@digits-gone", "moe_sweep"):
        process = subprocess.run(
            [sys.executable, "-m", "pipeline.bayes_moe.stages.moe_sweep"],
            cwd=images,
            env=os.environ | {"PYTHONPATH": str(ROOT), "DVC_STAGE": name},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 2
        assert f"error: no instance {name.partition('@')[2]!r} of a stage of bayes_moe: " in process.stderr
        assert "digits" in process.stderr


def test_without_images_or_answers_the_stage_that_makes_them_is_named(tmp_path: Path) -> None:
    configure(tmp_path)
    settled(tmp_path)
    assert "`dvc repro ingest@bayes_moe-digits` makes it" in sweep(tmp_path, "dense", code=2)
    output = run(tmp_path, "pipeline.bayes_moe.stages.evaluate", "digits", code=2)
    assert "`dvc repro moe_sweep@digits-dense` makes it" in output


def record(label: int) -> bytes:
    return bytes([label]) + bytes(range(256)) * 12


def archive(path: Path, files: dict[str, bytes | None]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            if content is not None:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


GOOD = {
    "c/batches.meta.txt": b"cat\ndog\n",
    "c/data_batch_1.bin": record(0) * 4 + record(1) * 4,
    "c/test_batch.bin": record(1) + record(0),
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"c/data_batch_1.bin": record(0)[:-5]}, "not a multiple of the 3,073 of a record: it is truncated"),
        ({"c/data_batch_1.bin": record(0) + record(2)}, "has label 2, but batches.meta.txt names 2 classes"),
        ({"c/data_batch_1.bin": record(0) * 3}, "are of one class, 'cat': a classifier needs two"),
        ({"../../evil.bin": b""}, "which leaves its folder; it is not trusted"),
        ({"c/batches.meta.txt": None}, "is not CIFAR in its binary or Python format"),
        (None, "cannot be read as a tar archive"),
    ],
)
def test_bad_archives_end_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, bytes | None] | None, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Ingest(path="images.tar.gz", size=32)
    if changes is None:
        Path("images.tar.gz").write_text("no archive")
    else:
        archive(Path("images.tar.gz"), {**GOOD, **changes})
    with pytest.raises(ExpectedError) as caught:
        ingest.run(settings, AT)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("data/raw").exists()
    archive(Path("images.tar.gz"), {**GOOD})
    ingest.run(settings, AT)
    assert read_json(AT.raw / "source.json")["classes"] == ["cat", "dog"]


def test_a_bad_archive_is_exit_code_2(tmp_path: Path) -> None:
    configure(tmp_path)
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["bayes_moe"]["studies"]["digits"]["ingest"]["path"] = "images.tar.gz"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    archive(tmp_path / "images.tar.gz", {**GOOD, "/etc/evil.bin": b""})
    settled(tmp_path)
    output = run(tmp_path, "pipeline.bayes_moe.stages.ingest", "digits", code=2)
    assert output.startswith("error: images.tar.gz holds the path '/etc/evil.bin', which leaves its folder")
    assert output.count("\n") == 1
