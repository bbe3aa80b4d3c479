"""The environments of envs/ are all made of requirements.lock, and of one Python that the project supports."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCKERFILE, APPTAINER = ((ROOT / "envs" / name).read_text(encoding="utf-8") for name in ("Dockerfile", "apptainer.def"))
CONDA = yaml.safe_load((ROOT / "envs/conda.yaml").read_text(encoding="utf-8"))
LOCKED = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))
INSTALLED = "/opt/celldag/requirements.lock"


def installs(text: str) -> list[str]:
    """The arguments of every `pip install`, continued lines joined and comments left out."""
    code = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return re.findall(r"pip install (.*)", code)


def test_conda_installs_the_lock_and_nothing_else_by_pip() -> None:
    (by_pip,) = [entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict)]
    assert by_pip == ["--requirement ../requirements.lock"]
    assert (ROOT / "envs" / by_pip[0].split()[1]).resolve() == ROOT / "requirements.lock"
    by_conda = {re.split("[=<>]", entry)[0] for entry in CONDA["dependencies"] if isinstance(entry, str)}
    assert by_conda.isdisjoint(LOCKED), "which would be another version than the locked one"


@pytest.mark.parametrize("text", [DOCKERFILE, APPTAINER], ids=["Dockerfile", "apptainer.def"])
def test_an_image_installs_the_lock_and_nothing_else_by_pip(text: str) -> None:
    assert f"requirements.lock {INSTALLED}" in text
    (arguments,) = installs(text)
    words = re.sub(r"\$\{[^}]*\}", "", arguments).split()
    assert [word for word in words if not word.startswith("-")] == [INSTALLED]
    assert "--requirement" in words


def test_all_use_the_same_python_which_the_project_supports() -> None:
    found = {
        *re.findall(r"^FROM python:(\d+\.\d+)-", DOCKERFILE, re.MULTILINE),
        *re.findall(r"^From: python:(\d+\.\d+)-", APPTAINER, re.MULTILINE),
        *(entry.partition("=")[2] for entry in CONDA["dependencies"] if str(entry).startswith("python=")),
    }
    (version,) = found
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    low, high = re.findall(r"3\.(\d+)", project["requires-python"])
    assert int(low) <= int(version.removeprefix("3.")) < int(high)


def test_both_images_hold_the_same_programs() -> None:
    listed = [re.findall(r"apt-get install (.*?)(?:\s*\\)?\n", text) for text in (DOCKERFILE, APPTAINER)]
    assert len(listed[0]) == 1
    assert listed[0] == listed[1]
