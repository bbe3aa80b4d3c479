"""What MLflow holds after the mirror has run."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.tracking.points import Point, metric_points
from pipeline.tracking.project import mirror
from pipeline.tracking.store import open_store


def read_all() -> dict[str, Any]:
    """Everything that MLflow holds, by run: what two calls must agree on."""
    with open_store() as client:
        experiment = client.get_experiment_by_name("celldag")
        assert experiment is not None
        found = {}
        for run in client.search_runs([experiment.experiment_id]):
            run_id = run.info.run_id
            history = {
                name: [(m.value, m.step, m.timestamp) for m in client.get_metric_history(run_id, name)]
                for name in run.data.metrics
            }
            files = sorted(str(p.relative_to("mlartifacts")) for p in Path("mlartifacts", run_id).rglob("*"))
            found[run_id] = (dict(run.info), run.data.tags, run.data.params, history, files)
        return found


def runs(**tags: str) -> list[Any]:
    with open_store() as client:
        experiment = client.get_experiment_by_name("celldag")
        assert experiment is not None
        wanted = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
        return list(client.search_runs([experiment.experiment_id], filter_string=wanted))


def test_one_run_per_upstream_stage_nested_under_the_commit(project: Any) -> None:
    mirrored = mirror("celldag")
    assert [stage.address for stage in mirrored.runs] == ["evaluate@cfm_vc", "report", "vae_pretrain"]
    [parent] = runs(stage="pipeline")
    assert parent.info.run_name == f"{mirrored.commit.hash[:8]} First results"
    nested = runs(**{"`mlflow.parentRunId`": parent.info.run_id})
    assert sorted(run.data.tags["stage"] for run in nested) == ["evaluate@cfm_vc", "report", "vae_pretrain"]
    assert {run.info.status for run in [parent, *nested]} == {"FINISHED"}
    assert {run.info.start_time for run in [parent, *nested]} == {mirrored.commit.time * 1000}


def test_a_run_shows_parameters_metrics_curves_artifacts_and_hashes(project: Any) -> None:
    commit = mirror("celldag").commit.hash
    [vae] = runs(stage="vae_pretrain")
    assert vae.data.params == {"vae.learning_rate": "0.1", "vae.hidden": "[128, 128]"}
    assert vae.data.metrics == {"elbo": -1.5, "curve/train_loss": 0.5, "curve/validation_loss": 2.5}
    assert vae.data.tags["commit"] == vae.data.tags["mlflow.source.git.commit"] == commit
    assert vae.data.tags["deps:data/processed/cfm_vc"] == "0" * 32 + ".dir"
    assert (
        vae.data.tags["outs:reports/cfm_vc/training/vae.json"]
        == project.file("reports/cfm_vc/training/vae.json")["md5"]
    )
    assert vae.data.tags["code"] == "1" * 32
    assert not [name for name in vae.data.tags if name.startswith("deps:data/code")]
    assert vae.data.tags["dirty"] == "false"
    with open_store() as client:
        history = client.get_metric_history(vae.info.run_id, "curve/train_loss")
        assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5)]
    [evaluate] = runs(stage="evaluate@cfm_vc")
    assert evaluate.data.metrics == {"change.score": 0.1, "change.baseline": 1.0}
    shown = Path("mlartifacts", evaluate.info.run_id, "artifacts")
    # Figures and tables, not the data behind them, nor what the page shows anyway.
    assert sorted(str(p.relative_to(shown)) for p in shown.rglob("*.*")) == [
        "cfm_vc/details/figure.svg",
        "cfm_vc/headlines/change.json",
        "cfm_vc/results.csv",
        "cfm_vc/source.json",
    ]
    [report] = runs(stage="report")
    assert Path("mlartifacts", report.info.run_id, "artifacts/report.html").read_text() == "<h1>0.1</h1>"


def test_the_run_of_a_commit_carries_its_headlines_and_those_of_no_other_state(project: Any) -> None:
    mirror("celldag")
    project.results(0.2)
    mirror("celldag")  # under the same commit, which does not hold this
    [commit] = runs(stage="pipeline")
    assert commit.data.metrics == {"change.score": 0.1, "change.baseline": 1.0}
    project.commit("Learn faster")
    mirror("celldag")
    assert sorted(run.data.metrics["change.score"] for run in runs(stage="pipeline")) == [0.1, 0.2]


def test_a_second_call_changes_nothing(project: Any) -> None:
    mirror("celldag")
    before = read_all()
    mirror("celldag")
    mirror("celldag", "HEAD")
    assert read_all() == before


def test_results_that_no_commit_holds_are_dirty_until_they_are_committed(project: Any) -> None:
    mirror("celldag")
    project.results(0.2)
    first = mirror("celldag").commit.hash
    assert [r.data.params["vae.learning_rate"] for r in runs(commit=first, stage="vae_pretrain", dirty="false")] == [
        "0.1"
    ]
    assert [r.data.params["vae.learning_rate"] for r in runs(commit=first, stage="vae_pretrain", dirty="true")] == [
        "0.2"
    ]
    assert len(runs(stage="pipeline")) == 1

    second = project.commit("Learn faster")
    mirror("celldag")
    [clean] = runs(commit=second, stage="vae_pretrain")
    assert (clean.data.params["vae.learning_rate"], clean.data.tags["dirty"]) == ("0.2", "false")
    assert len(runs(commit=second)) == 4


def test_a_past_commit_is_filled_in_from_git_and_the_cache(project: Any) -> None:
    project.results(0.2)
    project.commit("Learn faster")
    shutil.rmtree("reports")
    mirrored = mirror("celldag", "HEAD~1")
    assert [stage.missing for stage in mirrored.runs] == [[], [], []]
    [vae] = runs(stage="vae_pretrain")
    assert vae.data.params["vae.learning_rate"] == "0.1"
    assert vae.data.metrics["curve/train_loss"] == 0.5
    [evaluate] = runs(stage="evaluate@cfm_vc")  # a folder that no cache holds
    assert evaluate.data.metrics["change.score"] == 0.1
    [report] = runs(stage="report")
    assert Path("mlartifacts", report.info.run_id, "artifacts/report.html").read_text() == "<h1>0.1</h1>"


def test_a_past_commit_gives_the_runs_that_its_working_tree_gave(project: Any) -> None:
    mirror("celldag")
    before = read_all()
    project.results(0.2)
    project.commit("Learn faster")
    mirror("celldag", "HEAD~1")
    assert read_all() == before


def test_what_is_missing_is_named_and_added_once_it_is_there(project: Any) -> None:
    first = project.folder("reports/cfm_vc/details")["md5"]
    project.results(0.2)
    project.commit("Learn faster")
    Path(".dvc/cache").rename("elsewhere")
    assert first  # the folder's list is in the cache only once the working tree has changed
    Path("reports/cfm_vc/details/figure.svg").write_text("<svg>other</svg>")
    by_stage = {stage.address: stage.missing for stage in mirror("celldag", "HEAD~1").runs}
    assert by_stage == {
        "evaluate@cfm_vc": ["reports/cfm_vc/details/"],
        "report": ["reports/report.html"],
        "vae_pretrain": [],  # its metrics and curves are in git
    }
    [report] = runs(stage="report")
    assert report.data.tags["missing"] == "reports/report.html"

    shutil.rmtree(".dvc/cache", ignore_errors=True)
    Path("elsewhere").rename(".dvc/cache")
    assert [stage.missing for stage in mirror("celldag", "HEAD~1").runs] == [[], [], []]
    [report] = runs(stage="report")
    assert report.data.tags["missing"] == "none"
    assert Path("mlartifacts", report.info.run_id, "artifacts/report.html").read_text() == "<h1>0.1</h1>"


def test_a_result_edited_by_hand_is_not_shown(project: Any) -> None:
    Path("reports/cfm_vc/training/vae.json").write_text('{"elbo": 1000.0}')
    mirror("celldag")
    [vae] = runs(stage="vae_pretrain")
    assert vae.data.metrics["elbo"] == -1.5  # from git, where the bytes still have the stage's hash


def test_a_run_left_half_done_is_completed(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    upload: Callable[..., None] = MlflowClient.log_artifacts

    def killed(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MlflowClient, "log_artifacts", killed)
    with pytest.raises(KeyboardInterrupt):
        mirror("celldag")
    monkeypatch.setattr(MlflowClient, "log_artifacts", upload)
    mirror("celldag")
    assert len(runs()) == 4
    assert {run.info.status for run in runs()} == {"FINISHED"}
    [evaluate] = runs(stage="evaluate@cfm_vc")
    [commit] = runs(stage="pipeline")
    for run in (evaluate, commit):
        assert run.data.metrics == {"change.score": 0.1, "change.baseline": 1.0}
        with open_store() as client:
            assert len(client.get_metric_history(run.info.run_id, "change.score")) == 1


def test_a_curve_is_named_by_horizon_and_seed(tmp_path: Path) -> None:
    curve = tmp_path / "reports/mole/curves/dlinear.csv"
    curve.parent.mkdir(parents=True)
    curve.write_text("horizon,seed,epoch,train_loss\n24,0,1,2.5\n24,0,2,1.5\n24,1,1,2.25\n96,0,1,\n96,0,2,3.5\n")
    path = str(curve.relative_to(tmp_path))
    assert list(metric_points(tmp_path, [path], [path], [])) == [
        Point("curve/h24/seed_0/train_loss", 2.5, 1),
        Point("curve/h24/seed_0/train_loss", 1.5, 2),
        Point("curve/h24/seed_1/train_loss", 2.25, 1),
        Point("curve/h96/seed_0/train_loss", 3.5, 2),
    ]


def test_the_points_of_a_sweep_are_nested_under_a_run_of_their_own(project: Any) -> None:
    declared = yaml.safe_load(Path("dvc.yaml").read_text())
    declared["stages"]["moe_sweep"] = {"foreach": "${bayes_moe.sweep.points}", "do": {"cmd": "true"}}
    Path("dvc.yaml").write_text(yaml.safe_dump(declared))
    points = {"dense": {}, "top_1": {"experts": 4}}
    Path("params.yaml").write_text(yaml.safe_dump({"bayes_moe": {"sweep": {"points": points}}}))
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    for name in ("dense", "top_1", "gone"):  # params.yaml no longer lists the last
        curve = Path(f"reports/bayes_moe/curves/{name}.csv")
        curve.parent.mkdir(parents=True, exist_ok=True)
        curve.write_text("seed,epoch,train_loss\n0,1,2.5\n0,2,1.5\n1,1,2.25\n")
        numbers = Path(f"reports/bayes_moe/training/{name}.json")
        numbers.parent.mkdir(parents=True, exist_ok=True)
        numbers.write_text('{"seed_0": {"best_epoch": 2}}')
        lock["stages"][f"moe_sweep@{name}"] = {
            "cmd": "true",
            "params": {"params.yaml": {f"bayes_moe.sweep.points.{name}": {"experts": 4}}},
            "outs": [project.file(str(curve)), project.file(str(numbers))],
        }
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    mirrored = mirror("celldag")
    assert [run.address for run in mirrored.runs if "sweep" in run.address] == ["moe_sweep@dense", "moe_sweep@top_1"]
    [pipeline], [sweep] = runs(stage="pipeline"), runs(stage="moe_sweep")
    assert sweep.data.tags["mlflow.parentRunId"] == pipeline.info.run_id
    nested = runs(**{"`mlflow.parentRunId`": sweep.info.run_id})
    assert sorted(run.data.tags["stage"] for run in nested) == ["moe_sweep@dense", "moe_sweep@top_1"]
    for run in nested:
        assert run.data.metrics == {
            "seed_0.best_epoch": 2,
            "curve/seed_0/train_loss": 1.5,
            "curve/seed_1/train_loss": 2.25,
        }
    before = read_all()
    mirror("celldag")
    assert read_all() == before


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_copied_checkout_mirrors_into_its_own_folder(
    project: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror("celldag")
    original, copy = Path.cwd(), Path.cwd().parent / "a copy"
    with open_store() as client:
        client.create_registered_model("model")
        client.create_model_version("model", source=f"{(original / 'mlartifacts').as_uri()}/weights")
    before = {**files_below(original / "mlartifacts"), "mlflow.db": (original / "mlflow.db").read_bytes()}
    shutil.copytree(original, copy)
    monkeypatch.chdir(copy)
    project.results(0.2)
    project.commit("In the copy")
    mirror("celldag")
    assert f"note: mlflow.db was created in {original}" in capsys.readouterr().err
    assert {**files_below(original / "mlartifacts"), "mlflow.db": (original / "mlflow.db").read_bytes()} == before
    assert len(runs(stage="report")) == 2
    for run in runs():
        assert run.info.artifact_uri == (copy / "mlartifacts" / run.info.run_id / "artifacts").as_uri()
    [new] = [run for run in runs(stage="report") if run.data.tags["commit"] != _first_commit()]
    assert Path("mlartifacts", new.info.run_id, "artifacts/report.html").read_text() == "<h1>0.2</h1>"
    with open_store() as client:
        [version] = client.search_model_versions("name = 'model'")
        assert version.source == f"{(copy / 'mlartifacts').as_uri()}/weights"
        assert client.get_experiment("0").artifact_location == str(copy / "mlruns/0")
    assert capsys.readouterr().err == ""


def _first_commit() -> str:
    return subprocess.run(
        ["git", "rev-list", "--max-parents=0", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_artifacts_that_someone_keeps_elsewhere_stay_there(project: Any) -> None:
    elsewhere = Path.cwd().parent / "shared" / "mlartifacts"
    elsewhere.mkdir(parents=True)
    with open_store() as client:
        client.create_experiment("celldag", artifact_location=elsewhere.as_uri())
    mirror("celldag")
    [report] = runs(stage="report")
    assert report.info.artifact_uri == (elsewhere / report.info.run_id / "artifacts").as_uri()
