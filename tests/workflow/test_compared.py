"""What `dvc metrics diff` and `dvc plots diff` compare: numbers and curves of every stage of this project's DAG."""

from pathlib import Path

import pytest
from dvc.output import Output
from dvc.repo import Repo

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outs() -> dict[str, Output]:
    with Repo(ROOT) as repo:
        return {out.def_path: out for stage in repo.index.stages for out in stage.outs}


def below(folder: str, outs: dict[str, Output]) -> set[str]:
    return {path for path in outs if path.startswith(f"{folder}/")}


def test_all_numbers_are_metrics_that_git_holds(outs: dict[str, Output]) -> None:
    numbers = below("reports/metrics", outs)
    assert numbers == {path for path, out in outs.items() if out.metric}
    assert not any(outs[path].use_cache for path in numbers)
    judged = {path.removeprefix("reports/evaluation/") for path in below("reports/evaluation", outs)}
    assert judged >= {"perturbation", "spatial", "moe", "forecasting"}
    assert numbers >= {f"reports/metrics/{system}.json" for system in judged}


def test_all_curves_are_plots_of_the_loss_that_git_holds(outs: dict[str, Output]) -> None:
    curves = below("reports/curves", outs)
    assert curves == {path for path, out in outs.items() if out.plot}
    assert not any(outs[path].use_cache for path in curves)
    assert {(outs[path].plot["x"], outs[path].plot["y"]) for path in curves} == {("epoch", "validation_loss")}


def test_each_seed_of_a_sweep_is_a_line_of_its_own(outs: dict[str, Output]) -> None:
    points = {path for path in below("reports/curves", outs) if Path(path).parent.name != "curves"}
    assert points
    assert {outs[path].plot.get("template") for path in points} == {"curve_per_seed"}
    assert (ROOT / ".dvc/plots/curve_per_seed.json").is_file()
