"""What `dvc metrics diff` and `dvc plots diff` compare: numbers and curves of every stage of this project's DAG."""

from pathlib import Path

import pytest
from dvc.output import Output
from dvc.repo import Repo

from pipeline.plan import SYSTEMS, read_plan

ROOT = Path(__file__).parents[2]
STUDIES = [f"{entry['system']}/{entry['study']}" for entry in read_plan(ROOT / "plan.yaml")["evaluated"].values()]


@pytest.fixture(scope="module")
def outs() -> dict[str, Output]:
    with Repo(ROOT) as repo:
        return {out.def_path: out for stage in repo.index.stages for out in stage.outs}


def test_headlines_are_the_metrics_and_git_holds_them(outs: dict[str, Output]) -> None:
    metrics = {path for path, out in outs.items() if out.metric}
    assert metrics == {f"reports/{study}/headlines" for study in STUDIES}
    assert not any(outs[path].use_cache for path in metrics)


def test_all_results_and_losses_are_text_that_git_holds(outs: dict[str, Output]) -> None:
    text = {path for path in outs if Path(path).suffix in (".csv", ".json") and Path(path).parts[1] in SYSTEMS}
    assert text >= {f"reports/{study}/results.csv" for study in STUDIES}
    assert len([path for path in text if Path(path).parent.name == "training"]) > len(SYSTEMS)
    assert not any(outs[path].use_cache for path in text)


def test_all_curves_are_plots_of_the_loss_that_git_holds(outs: dict[str, Output]) -> None:
    curves = {path for path in outs if Path(path).parent.name == "curves"}
    assert curves
    assert curves == {path for path, out in outs.items() if out.plot}
    assert not any(outs[path].use_cache for path in curves)
    assert {(outs[path].plot["x"], outs[path].plot["y"]) for path in curves} == {("epoch", "validation_loss")}


def test_each_seed_of_a_sweep_is_a_line_of_its_own(outs: dict[str, Output]) -> None:
    sweeps = ("reports/bayes_moe/digits/curves", "reports/mole/series/curves")
    points = {path for path in outs if path.startswith(sweeps)}
    assert points
    assert {outs[path].plot.get("template") for path in points} == {"curve_per_seed"}
    assert (ROOT / ".dvc/plots/curve_per_seed.json").is_file()
