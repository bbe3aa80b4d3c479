"""A small project as git and DVC see it after `dvc repro`: two commits' worth of results, without running any stage."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import cli
from pipeline.tracking import store
from pipeline.tracking.contents import _cache_folder

DVC_YAML = {
    "stages": {
        "ingest": {"foreach": "${plan.studies}", "do": {"cmd": "true"}},
        "preprocess": {"foreach": "${plan.folds}", "do": {"cmd": "true"}},
        "vae_pretrain": {"foreach": "${plan.cfm_vc.runs}", "do": {"cmd": "true"}},
        "flow_train": {"foreach": "${plan.cfm_vc.runs}", "do": {"cmd": "true"}},
        "evaluate": {
            "foreach": "${plan.evaluated}",
            "do": {"cmd": "true", "metrics": [{"reports/${item.system}/${item.study}/headlines": {"cache": False}}]},
        },
        "report": {"cmd": "true"},
        "aside": {"cmd": "true"},
        "track": {
            "cmd": "true",
            "deps": ["models", "reports/bayes_moe", "reports/cfm_vc", "reports/report.html"],
        },
    }
}
STUDY = {"system": "cfm_vc", "study": "pbmc"}
PLAN = {
    "studies": {"cfm_vc-pbmc": {**STUDY, "source": "data/embedded/perturbation.yaml"}},
    "folds": {"cfm_vc-pbmc-held_out": {**STUDY, "fold": "held_out"}},
    "evaluated": {"cfm_vc-pbmc": STUDY},
    "cfm_vc": {
        "runs": {f"pbmc-held_out-{seed}": {"study": "pbmc", "fold": "held_out", "seed": seed} for seed in (0, 1)}
    },
}
MODELS = "models/cfm_vc/pbmc/held_out/seed_0"
STORE = "data/processed/cfm_vc/pbmc/held_out"
RESULTS = "reports/cfm_vc/pbmc"
SETTINGS = "data/settings/cfm_vc/pbmc.json"
VAE, FLOW, EVALUATE = "vae_pretrain@pbmc-held_out-0", "flow_train@pbmc-held_out-0", "evaluate@cfm_vc-pbmc"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def hash_of(content: bytes, suffix: str = "") -> str:
    return md5(content) + suffix


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


class Project:
    """Writes what a run with a given learning rate would leave behind."""

    def results(self, learning_rate: float) -> None:
        Path("params.yaml").write_text(yaml.safe_dump({"cfm_vc": {"vae": {"learning_rate": learning_rate}}}))
        Path("dvc.yaml").write_text(yaml.safe_dump(DVC_YAML))
        Path("plan.yaml").write_text(yaml.safe_dump({"plan": PLAN}))
        page = f"<h1>{learning_rate}</h1>".encode()
        weights = f"weights {learning_rate}".encode()
        curve = f"epoch,train_loss,validation_loss\n0,{10 * learning_rate},\n1,{5 * learning_rate},2.5\n".encode()
        headline = json.dumps({"score": learning_rate, "baseline": 1.0}).encode()
        written = {
            f"{MODELS}/vae/weights.safetensors": weights,
            f"{RESULTS}/training/vae.json": b'{"elbo": -1.5}',
            f"{RESULTS}/curves/vae.csv": curve,
            f"{RESULTS}/headlines/change.json": headline,
            f"{RESULTS}/results.csv": b"system,metric,value\ncfm_vc,mse,0.5\n",
            f"{RESULTS}/source.json": b'{"cells": 3, "note": "no table of numbers"}',
            "reports/chapters/cfm_vc/pbmc.json": b'{"title": "Perturbations"}',
            f"{RESULTS}/details/change.parquet": b"rows",
            f"{RESULTS}/details/figure.svg": b"<svg/>",
            "reports/report.html": page,
        }
        for path, content in written.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(content)
        raw = {"path": "data/raw/cfm_vc/pbmc", "hash": "md5", "md5": "2" * 32 + ".dir", "size": 1, "nfiles": 1}
        store = {"path": STORE, "hash": "md5", "md5": "0" * 32 + ".dir", "size": 1, "nfiles": 1}
        manifest = {"path": "data/code/cfm_vc.vae_pretrain.json", "hash": "md5", "md5": "1" * 32, "size": 1}
        vae = self.folder(f"{MODELS}/vae")
        evaluation = self.folder(f"{RESULTS}/details")
        stages = {
            "ingest@cfm_vc-pbmc": {"cmd": "true", "params": {SETTINGS: {"ingest": {"counts": "X"}}}, "outs": [raw]},
            "preprocess@cfm_vc-pbmc-held_out": {
                "cmd": "true",
                "deps": [raw],
                "params": {SETTINGS: {"preprocess.held_out": {"seed": 0}}},
                "outs": [store],
            },
            VAE: {
                "cmd": "python -m pipeline.stage cfm_vc.vae_pretrain",
                "deps": [store, manifest],
                "params": {SETTINGS: {"vae": {"learning_rate": learning_rate, "hidden": [128, 128]}}},
                "outs": [vae, self.file(f"{RESULTS}/curves/vae.csv"), self.file(f"{RESULTS}/training/vae.json")],
            },
            EVALUATE: {
                "cmd": "python -m pipeline.stage cfm_vc.evaluate",
                "deps": [vae],
                "params": {SETTINGS: {"evaluate": {"seed": 0}}},
                "outs": [
                    evaluation,
                    self.file("reports/chapters/cfm_vc/pbmc.json"),
                    self.folder(f"{RESULTS}/headlines", cached=False),
                    self.file(f"{RESULTS}/results.csv"),
                    self.file(f"{RESULTS}/source.json"),
                ],
            },
            "report": {"cmd": "true", "deps": [evaluation], "outs": [self.file("reports/report.html")]},
            # Not upstream of track; no longer declared; the mirror itself.
            "aside": {"cmd": "true", "outs": [self.file("params.yaml")]},
            "evaluate@gone": {"cmd": "true", "outs": [self.file(f"{RESULTS}/training/vae.json")]},
            "track": {"cmd": "true", "outs": []},
        }
        Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))

    def file(self, path: str) -> dict[str, object]:
        content = Path(path).read_bytes()
        return {"path": path, "hash": "md5", "md5": self.to_cache(content), "size": len(content)}

    def folder(self, path: str, cached: bool = True) -> dict[str, object]:
        """As DVC hashes a folder: the MD5 of the sorted JSON list of its files."""
        keep = self.to_cache if cached else hash_of
        files = sorted(file for file in Path(path).rglob("*") if file.is_file())
        listed = [{"md5": keep(f.read_bytes()), "relpath": str(f.relative_to(path))} for f in files]
        listed.sort(key=lambda entry: entry["relpath"])
        return {"path": path, "hash": "md5", "md5": keep(json.dumps(listed).encode(), ".dir"), "nfiles": 1}

    def to_cache(self, content: bytes, suffix: str = "") -> str:
        name = md5(content) + suffix
        cached = Path(".dvc/cache/files/md5", name[:2], name[2:])
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(content)
        return name

    def flow(self, source: str = "control") -> None:
        """Models trained for no epoch, on the store in `STORE`, in the lock file beside the rest."""
        import torch

        from pipeline.cfm_vc.data.contexts import Calibration, read_contexts, save_contexts
        from pipeline.core.files import sha256
        from pipeline.data.store import open_store
        from pipeline.training.weights import save_model
        from tests.cfm_vc.small_models import small_field, small_vae

        with torch.random.fork_rng():
            torch.manual_seed(0)
            vae, field = small_vae(), small_field()
            for parameter in field.parameters():  # an untrained field stands still
                torch.nn.init.normal_(parameter)
        doses = {"control": {}, "drug": {"drug": 1.0}, "toxin": {"toxin": 1.0}}
        categories = {"perturbation": sorted(doses), "cell_type": ["B", "NK", "T"], "batch": ["a", "b"]}
        shared = {"control": "control", "categories": categories}
        origin = {"dataset_sha256": "0" * 64, "parameters": {"seed": 0}}
        genes = [f"gene{g}" for g in range(12)]
        save_model(Path(MODELS, "vae"), vae, {**shared, "genes": genes, "provenance": origin})
        origin = {**origin, "vae_sha256": sha256(Path(MODELS, "vae/weights.safetensors"))}
        save_model(
            Path(MODELS, "flow"),
            field,
            {**shared, "source": source, "doses": doses, "spatial": None, "provenance": origin},
        )
        save_contexts(Path(MODELS, "contexts"), read_contexts(open_store(Path(STORE)), Calibration(1.2, 0.5))[0])
        lock = yaml.safe_load(Path("dvc.lock").read_text())
        lock["stages"]["preprocess@cfm_vc-pbmc-held_out"]["outs"] = [self.folder(STORE)]
        lock["stages"][VAE]["outs"][0] = self.folder(f"{MODELS}/vae")
        lock["stages"][FLOW] = {
            "cmd": "python -m pipeline.stage cfm_vc.flow_train",
            "deps": [self.folder(STORE), self.folder(f"{MODELS}/vae")],
            "params": {SETTINGS: {"flow": {"source": source}}},
            "outs": [self.folder(f"{MODELS}/flow"), self.folder(f"{MODELS}/contexts")],
        }
        Path("dvc.lock").write_text(yaml.safe_dump(lock))

    def commit(self, subject: str) -> str:
        git("add", "-f", "dvc.yaml", "dvc.lock", "plan.yaml", "params.yaml", "reports/cfm_vc")
        git("rm", "-rq", "--cached", f"{RESULTS}/details")
        git("commit", "-q", "-m", subject)
        return git("rev-parse", "HEAD")


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one committed run (learning rate 0.1), made once: `dvc init` takes a second."""
    folder = tmp_path_factory.mktemp("committed") / "project"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch, chdir(folder):
        name_a_committer(patch)
        _cache_folder.cache_clear()
        git("init", "-q", ".")
        subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
        made = Project()
        made.results(0.1)
        made.commit("First results")
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a store without runs, as `open_store` makes it: its migrations take seconds."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch, chdir(folder):
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with store.open_store():
            return folder / "mlflow.db"


def name_a_committer(patch: pytest.MonkeyPatch) -> None:
    """For git; DVC's analytics are off."""
    patch.setenv("DVC_NO_ANALYTICS", "1")
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        patch.setenv(f"{name}_NAME", "A")
        patch.setenv(f"{name}_EMAIL", "a@example.org")
        patch.setenv(f"{name}_DATE", "2026-01-02T03:04:05Z")


@pytest.fixture
def project(committed: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The working directory is a repository with one committed run; a store made in this process is a copy of one."""
    folder = tmp_path / "a project"  # paths with a space are the first to break
    shutil.copytree(committed, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    name_a_committer(monkeypatch)

    def create(database: Path, _: object) -> None:
        shutil.copy(empty_store, database)
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", (str(folder / "mlruns/0"),))

    monkeypatch.setattr(store, "_create", create)
    _cache_folder.cache_clear()
    return Project()


@pytest.fixture
def track(project: Project) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python -m pipeline track` as a process of its own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        root = Path(__file__).parents[2]
        return subprocess.run(
            [sys.executable, "-m", "pipeline", "track", *arguments],
            env={**os.environ, "PYTHONPATH": str(root), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


@pytest.fixture
def track_here(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python -m pipeline track` in this process, where MLflow is loaded and keeps the stores that it opened."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                cli.main(["track", *arguments])
        shown = capsys.readouterr()
        code: Any = ended.value.code
        return subprocess.CompletedProcess(["track", *arguments], code, shown.out, shown.err)

    return run
