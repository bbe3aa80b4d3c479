"""The wheel: it holds all of the package, and what it installs works outside the checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from pipeline import __version__
from pipeline.cli import COMMANDS
from pipeline.mole.data.series import read_series
from tests.made_once import made_once
from tests.test_readme import README, shown

ROOT = Path(__file__).parents[1]
CODE = ("pipeline", "workflow")

pytestmark = pytest.mark.slow


def tracked(*folders: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a wheel built from the files that git tracks."""

    def build(folder: Path) -> None:
        source = folder / "source"
        for name in tracked(*CODE, "pyproject.toml", "README.md", "LICENSE"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
        program = "from setuptools.build_meta import build_wheel; build_wheel('..')"
        done = subprocess.run([sys.executable, "-c", program], cwd=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        shutil.rmtree(source)

    return made_once(tmp_path_factory, "wheel", build)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean folder into which pip installed the wheel, without its dependencies, which the environment has."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*command, *map(str, wheel.glob("*.whl"))], check=True, capture_output=True)
    return folder


def call(installed: Path, folder: Path, *words: str, code: int = 0) -> str:
    """What the console script, or Python where that is the first word, says in a folder outside the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    program = words[1:] if words[0] == "python" else [str(installed / "bin/celldag"), *words]
    done = subprocess.run(
        [sys.executable, *program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    (path,) = wheel.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        held = {name for name in archive.namelist() if name.split("/")[0] in CODE}
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    assert held == tracked(*CODE)
    assert len(held) > 300
    assert "Requires-Dist: torch==" in metadata


def test_the_console_script_is_the_package_installed(installed: Path, tmp_path: Path) -> None:
    assert call(installed, tmp_path, "--version") == f"celldag {__version__}\n"
    assert call(installed, tmp_path, "python", "-m", "pipeline", "--version") == f"celldag {__version__}\n"
    where = call(installed, tmp_path, "python", "-c", "import pipeline; print(pipeline.__file__)")
    assert Path(where.strip()).is_relative_to(installed)
    assert "usage: celldag predict" in call(installed, tmp_path, "predict", "--help")
    assert call(installed, tmp_path, "schema").startswith("{\n")


@pytest.mark.parametrize(
    "command",
    [["new", "a.h5ad"], ["add", "a"], ["plan"], ["run"], ["explain"], ["repair"], ["dag"], ["track"], ["fetch"]],
)
def test_what_needs_a_project_says_so_elsewhere(installed: Path, tmp_path: Path, command: list[str]) -> None:
    said = call(installed, tmp_path, *command, code=2)
    assert said.startswith("error: ")
    assert "project" in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_commands_and_options_are_completed(installed: Path, tmp_path: Path) -> None:
    (line,) = re.findall(r"`([^`]*celldag completion [^`]+)`", README)
    (tmp_path / "cells.h5ad").touch()
    (tmp_path / "models").mkdir()
    completion = f'celldag() {{ "{sys.executable}" "{installed}/bin/celldag" "$@"; }}; {line}; '
    program = "COMP_WORDS=({words}); COMP_CWORD={place}; _shtab_celldag; echo ${{COMPREPLY[@]}}"
    for words, place, found in (
        ("celldag forec", 1, "forecast"),
        ("celldag predict --overw", 2, "--overwrite"),
        ("celldag predict --data ce", 3, "cells.h5ad"),
        ("celldag predict --model mo", 3, "models"),
    ):
        asked = ["bash", "-c", completion + program.format(words=words, place=place)]
        variables = os.environ | {"PYTHONPATH": str(installed)}
        done = subprocess.run(asked, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [found]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_of_every_command(installed: Path, tmp_path: Path, shell: str) -> None:
    script = call(installed, tmp_path, "completion", shell)
    assert [name for name in COMMANDS if name not in script] == []


def test_quiet_says_nothing_of_what_is_written_and_an_error_all_the_same(
    installed: Path, tmp_path: Path, series_project: Path
) -> None:
    shutil.copytree(series_project / "models", tmp_path / "models")
    write_series(series_project, tmp_path / "new.csv")
    words = ["forecast", "--data", "new.csv", "--horizon", "6", "--out"]
    assert "wrote a.csv" in call(installed, tmp_path, *words, "a.csv")
    for given in ([*words, "b.csv", "--quiet"], ["--quiet", *words, "c.csv"]):
        (said,) = call(installed, tmp_path, *given).splitlines()
        assert said.startswith("note: what is written names no commit")
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "c.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    assert "a.csv exists" in call(installed, tmp_path, *words, "a.csv", "--quiet", code=2)


def test_the_readmes_snippets_run_outside_the_checkout(
    installed: Path, tmp_path: Path, saved_cfm_vc: Any, tissue_project: Path, series_project: Path
) -> None:
    """With small models; `stim` is called B there."""
    saved_cfm_vc(tmp_path / "models/cfm_vc/kang/held_out/seed_0")
    for project, system in ((tissue_project, "alphastomics"), (series_project, "mole")):
        shutil.copytree(project / "models" / system, tmp_path / "models" / system)
    write_series(series_project, tmp_path / "new.csv")
    call(installed, tmp_path, "python", "-c", shown("forecast-python"))
    write_cells(tmp_path / "cells.h5ad", [f"gene{g}" for g in range(12)])
    call(installed, tmp_path, "python", "-c", shown("predict-python").replace("stim", "B"))
    genes = pd.read_parquet(tissue_project / "data/processed/alphastomics/tissue/held_out/genes.parquet").iloc[:, 0]
    write_cells(tmp_path / "cells.h5ad", genes.astype(str).tolist())
    call(installed, tmp_path, "python", "-c", shown("sample-python"))


def write_cells(path: Path, genes: list[str]) -> None:
    """Counts of 40 cells of one section."""
    counts = np.random.default_rng(0).poisson(3.0, (40, len(genes))).astype(np.float32)
    obs = pd.DataFrame({"section": ["a"] * 40}, index=[f"cell{n}" for n in range(40)])
    anndata.AnnData(counts, obs, pd.DataFrame(index=genes)).write_h5ad(path)


def write_series(project: Path, path: Path) -> None:
    """The series that the project's forecasters were trained on, as a CSV file."""
    series = read_series(project / "data/raw/mole/series")
    dates = pd.Index(series.date_T.astype("datetime64[s]"), name="date")
    pd.DataFrame(series.value_TC, dates, list(series.channels)).to_csv(path)
