"""What MLflow holds after the mirror has run."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.errors import ExpectedError
from pipeline.tracking.points import Point, metric_points
from pipeline.tracking.project import mirror
from pipeline.tracking.store import open_store
from workflow.times import Span, note_times, read_times

VAE, EVALUATE = "vae_pretrain@pbmc-held_out-0", "evaluate@cfm_vc-pbmc"
OF_STUDY = [EVALUATE, "ingest@cfm_vc-pbmc", "preprocess@cfm_vc-pbmc-held_out", VAE]
ALL = sorted([*OF_STUDY, "report"])


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


def test_a_run_per_commit_and_in_it_per_study_and_in_these_per_stage(project: Any) -> None:
    mirrored = mirror("celldag")
    assert [stage.address for stage in mirrored.runs] == ALL
    [parent], [study] = runs(stage="pipeline"), runs(stage="cfm_vc/pbmc")
    branch = subprocess.run(["git", "branch", "--show-current"], capture_output=True, text=True).stdout.strip()
    assert parent.info.run_name == f"{branch} {mirrored.commit.hash[:8]} First results"
    assert parent.data.params == {"cfm_vc.vae.learning_rate": "0.1"}
    nested = runs(**{"`mlflow.parentRunId`": parent.info.run_id})
    assert sorted(run.data.tags["stage"] for run in nested) == ["cfm_vc/pbmc", "report"]
    stages = runs(**{"`mlflow.parentRunId`": study.info.run_id})
    assert sorted(run.data.tags["stage"] for run in stages) == OF_STUDY
    assert {run.info.status for run in [parent, *nested, *stages]} == {"FINISHED"}


def test_a_stage_has_its_own_times_where_this_machine_ran_it_and_else_those_of_the_commit(project: Any) -> None:
    [vae] = [record for record in mirror("celldag", "HEAD").records if record.address == VAE]
    [run] = runs(stage=VAE)
    assert run.info.start_time == run.info.end_time == 1767323045000
    assert run.data.tags["times"] == "of the commit"
    span = Span(1_800_000_000_000_000_000, 1_800_000_090_000_000_000)
    note_times(VAE, span, [*vae.outs, "reports/nothing.json"])
    note_times(VAE, Span(1, 2), ["reports/report.html"])  # another result
    assert read_times(VAE, vae.outs) == span
    assert read_times(VAE, {**vae.outs, next(iter(vae.outs)): "0" * 32}) is None
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "The same results"], check=True)
    commit = mirror("celldag").commit.hash
    [run] = runs(stage=VAE, commit=commit)
    assert (run.info.start_time, run.info.end_time) == (1_800_000_000_000, 1_800_000_090_000)
    assert run.data.tags["times"] == "measured"
    for above in ("pipeline", "cfm_vc/pbmc"):  # as long as its stages, one of which was timed
        [run] = runs(stage=above, commit=commit)
        assert run.info.end_time - run.info.start_time == 90_000


def test_a_commit_has_its_own_headlines_though_only_a_later_state_was_mirrored(project: Any) -> None:
    project.results(0.2)
    mirror("celldag")
    [commit] = runs(stage="pipeline")
    assert commit.data.metrics == {"cfm_vc/pbmc/change.score": 0.1, "cfm_vc/pbmc/change.baseline": 1.0}
    [dirty] = runs(stage=EVALUATE, dirty="true")
    assert dirty.data.metrics["change.score"] == 0.2


def test_runs_name_the_data_set_of_their_study(project: Any) -> None:
    import mlflow

    mirror("celldag")
    for stage, context in ((VAE, "vae_pretrain"), ("cfm_vc/pbmc", "study")):
        [run] = runs(stage=stage)
        [given] = run.inputs.dataset_inputs
        assert (given.dataset.name, given.dataset.digest) == ("cfm_vc/pbmc", "2" * 32 + ".dir")
        assert mlflow.data.get_source(given).uri == "data/embedded/perturbation.yaml"
        assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": context}
    [report] = runs(stage="report")
    assert report.inputs.dataset_inputs == []


def test_an_experiment_of_dvc_has_a_run_of_its_own_and_is_found_by_its_name(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror("celldag")
    base = _first_commit()
    project.results(0.2)
    with monkeypatch.context() as patch:
        patch.setenv("DVC_EXP_NAME", "faster")
        patch.setenv("DVC_EXP_BASELINE_REV", base)
        mirror("celldag")
        mirror("celldag")
    before = read_all()
    made = project.commit("dvc: commit experiment")
    subprocess.run(["git", "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/faster", made], check=True)
    subprocess.run(["git", "reset", "-q", "--hard", base], check=True)
    mirror("celldag", "faster")
    assert read_all() == before
    [run] = runs(stage="pipeline", experiment="faster")
    assert run.info.run_name == "faster"
    assert run.data.tags["commit"] == base
    assert run.data.params == {"cfm_vc.vae.learning_rate": "0.2"}
    assert run.data.metrics["cfm_vc/pbmc/change.score"] == 0.2
    [commit] = [found for found in runs(stage="pipeline") if "experiment" not in found.data.tags]
    assert commit.data.metrics["cfm_vc/pbmc/change.score"] == 0.1


def test_a_run_shows_parameters_metrics_curves_artifacts_and_hashes(project: Any) -> None:
    commit = mirror("celldag").commit.hash
    [vae] = runs(stage=VAE)
    assert vae.data.params == {"vae.learning_rate": "0.1", "vae.hidden": "[128, 128]"}
    assert vae.data.metrics == {"elbo": -1.5, "curve/train_loss": 0.5, "curve/validation_loss": 2.5}
    assert vae.data.tags["commit"] == vae.data.tags["mlflow.source.git.commit"] == commit
    assert vae.data.tags["deps:data/processed/cfm_vc/pbmc/held_out"] == "0" * 32 + ".dir"
    assert (
        vae.data.tags["outs:reports/cfm_vc/pbmc/training/vae.json"]
        == project.file("reports/cfm_vc/pbmc/training/vae.json")["md5"]
    )
    assert vae.data.tags["code"] == "1" * 32
    assert not [name for name in vae.data.tags if name.startswith("deps:data/code")]
    assert vae.data.tags["dirty"] == "false"
    with open_store() as client:
        history = client.get_metric_history(vae.info.run_id, "curve/train_loss")
        assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5)]
    [evaluate] = runs(stage=EVALUATE)
    assert evaluate.data.metrics == {"change.score": 0.1, "change.baseline": 1.0}
    shown = Path("mlartifacts", evaluate.info.run_id, "artifacts")
    # Figures and tables, not the data behind them, nor what the page shows anyway.
    assert sorted(str(p.relative_to(shown)) for p in shown.rglob("*.*")) == [
        "cfm_vc/pbmc/details/figure.svg",
        "cfm_vc/pbmc/headlines/change.json",
        "cfm_vc/pbmc/results.csv",
        "cfm_vc/pbmc/source.json",
    ]
    [report] = runs(stage="report")
    assert Path("mlartifacts", report.info.run_id, "artifacts/report.html").read_text() == "<h1>0.1</h1>"


def test_the_run_of_a_commit_carries_its_headlines_and_those_of_no_other_state(project: Any) -> None:
    mirror("celldag")
    project.results(0.2)
    mirror("celldag")  # under the same commit, which does not hold this
    [commit] = runs(stage="pipeline")
    assert commit.data.metrics == {"cfm_vc/pbmc/change.score": 0.1, "cfm_vc/pbmc/change.baseline": 1.0}
    [study] = runs(stage="cfm_vc/pbmc")
    assert study.data.metrics == {"change.score": 0.1, "change.baseline": 1.0}
    project.commit("Learn faster")
    mirror("celldag")
    assert sorted(run.data.metrics["cfm_vc/pbmc/change.score"] for run in runs(stage="pipeline")) == [0.1, 0.2]


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
    assert [r.data.params["vae.learning_rate"] for r in runs(commit=first, stage=VAE, dirty="false")] == ["0.1"]
    assert [r.data.params["vae.learning_rate"] for r in runs(commit=first, stage=VAE, dirty="true")] == ["0.2"]
    assert len(runs(stage="pipeline")) == 1

    second = project.commit("Learn faster")
    mirror("celldag")
    [clean] = runs(commit=second, stage=VAE)
    assert (clean.data.params["vae.learning_rate"], clean.data.tags["dirty"]) == ("0.2", "false")
    assert len(runs(commit=second)) == 7


def test_a_past_commit_is_filled_in_from_git_and_the_cache(project: Any) -> None:
    project.results(0.2)
    project.commit("Learn faster")
    shutil.rmtree("reports")
    mirrored = mirror("celldag", "HEAD~1")
    assert [stage.missing for stage in mirrored.runs] == [[], [], [], [], []]
    [vae] = runs(stage=VAE)
    assert vae.data.params["vae.learning_rate"] == "0.1"
    assert vae.data.metrics["curve/train_loss"] == 0.5
    [evaluate] = runs(stage=EVALUATE)  # a folder that no cache holds
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
    first = project.folder("reports/cfm_vc/pbmc/details")["md5"]
    project.results(0.2)
    project.commit("Learn faster")
    Path(".dvc/cache").rename("elsewhere")
    assert first  # the folder's list is in the cache only once the working tree has changed
    Path("reports/cfm_vc/pbmc/details/figure.svg").write_text("<svg>other</svg>")
    by_stage = {stage.address: stage.missing for stage in mirror("celldag", "HEAD~1").runs}
    # Metrics and curves are in git.
    assert {address: missing for address, missing in by_stage.items() if missing} == {
        EVALUATE: ["reports/cfm_vc/pbmc/details/"],
        "report": ["reports/report.html"],
    }
    [report] = runs(stage="report")
    assert report.data.tags["missing"] == "reports/report.html"

    shutil.rmtree(".dvc/cache", ignore_errors=True)
    Path("elsewhere").rename(".dvc/cache")
    assert [stage.missing for stage in mirror("celldag", "HEAD~1").runs] == [[], [], [], [], []]
    [report] = runs(stage="report")
    assert report.data.tags["missing"] == "none"
    assert Path("mlartifacts", report.info.run_id, "artifacts/report.html").read_text() == "<h1>0.1</h1>"


def test_a_result_edited_by_hand_is_not_shown(project: Any) -> None:
    Path("reports/cfm_vc/pbmc/training/vae.json").write_text('{"elbo": 1000.0}')
    mirror("celldag")
    [vae] = runs(stage=VAE)
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
    assert len(runs()) == 7
    assert {run.info.status for run in runs()} == {"FINISHED"}
    [evaluate] = runs(stage=EVALUATE)
    [commit] = runs(stage="pipeline")
    for run, prefix in ((evaluate, ""), (commit, "cfm_vc/pbmc/")):
        assert run.data.metrics == {f"{prefix}change.score": 0.1, f"{prefix}change.baseline": 1.0}
        with open_store() as client:
            assert len(client.get_metric_history(run.info.run_id, f"{prefix}change.score")) == 1


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


def test_the_points_of_a_sweep_are_nested_under_the_run_of_their_study(project: Any) -> None:
    declared = yaml.safe_load(Path("dvc.yaml").read_text())
    declared["stages"]["moe_sweep"] = {"foreach": "${plan.bayes_moe.points}", "do": {"cmd": "true"}}
    Path("dvc.yaml").write_text(yaml.safe_dump(declared))
    plan = yaml.safe_load(Path("plan.yaml").read_text())
    plan["plan"]["bayes_moe"] = {"points": {f"digits-{name}": {"study": "digits"} for name in ("dense", "top_1")}}
    Path("plan.yaml").write_text(yaml.safe_dump(plan))
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    for name in ("dense", "top_1", "gone"):  # plan.yaml no longer lists the last
        curve = Path(f"reports/bayes_moe/digits/curves/{name}.csv")
        curve.parent.mkdir(parents=True, exist_ok=True)
        curve.write_text("seed,epoch,train_loss\n0,1,2.5\n0,2,1.5\n1,1,2.25\n")
        numbers = Path(f"reports/bayes_moe/digits/training/{name}.json")
        numbers.parent.mkdir(parents=True, exist_ok=True)
        numbers.write_text('{"seed_0": {"best_epoch": 2}}')
        lock["stages"][f"moe_sweep@digits-{name}"] = {
            "cmd": "true",
            "params": {"data/settings/bayes_moe/digits.json": {f"sweep.points.{name}": {"experts": 4}}},
            "outs": [project.file(str(curve)), project.file(str(numbers))],
        }
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    points = ["moe_sweep@digits-dense", "moe_sweep@digits-top_1"]
    assert [run.address for run in mirror("celldag").runs if "sweep" in run.address] == points
    [pipeline], [study] = runs(stage="pipeline"), runs(stage="bayes_moe/digits")
    assert study.data.tags["mlflow.parentRunId"] == pipeline.info.run_id
    nested = runs(**{"`mlflow.parentRunId`": study.info.run_id})
    assert sorted(run.data.tags["stage"] for run in nested) == points
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


def test_a_stage_may_be_committed_before_it_has_run(project: Any) -> None:
    """As after `python -m pipeline add`, a commit, and the first run of the new study."""
    declared = yaml.safe_load(Path("dvc.yaml").read_text())
    declared["stages"]["new"] = {"cmd": "true", "outs": ["models/new"]}
    Path("dvc.yaml").write_text(yaml.safe_dump(declared))
    hash_of_commit = project.commit("A stage that has never run")
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    Path("models/new").write_text("made")
    lock["stages"]["new"] = {"cmd": "true", "outs": [project.file("models/new")]}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    mirrored = mirror("celldag")
    assert [stage.address for stage in mirrored.runs] == sorted([*ALL, "new"])
    with pytest.raises(ExpectedError, match="lacks new, whose results `track` waits for"):
        mirror("celldag", hash_of_commit)
