"""The gate before every stage: what is wrong in any section of params.yaml is refused, and the code is noted."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.stages.code import run
from workflow.manifests import FOLDER, manifest_path

PARAMS = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))


def first_values(content: Any = PARAMS, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The address of one value in each mapping of params.yaml, at any depth."""
    values = [key for key, value in content.items() if not isinstance(value, dict)]
    yield from ((*above, key) for key in values[:1])
    for key, value in content.items():
        if isinstance(value, dict):
            yield from first_values(value, (*above, key))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pipeline/stages").mkdir(parents=True)
    Path("pipeline/stages/fit.py").write_text("def run():\n    return 1\n")


def test_every_section_has_a_value_to_spoil() -> None:
    assert {address[0] for address in first_values()} == set(PARAMS)


@pytest.mark.parametrize("address", list(first_values()), ids=".".join)
def test_a_wrong_value_is_refused_and_nothing_is_written(address: tuple[str, ...]) -> None:
    params = yaml.safe_load(yaml.safe_dump(PARAMS))
    place = params
    for key in address[:-1]:
        place = place[key]
    place[address[-1]] = {"no such": "thing"}
    paths.PARAMS.write_text(yaml.safe_dump(params), encoding="utf-8")
    named = re.escape(".".join(address))
    with pytest.raises(ExpectedError, match=rf"params\.yaml has \d+ problem\(s\):\n  {named}\b"):
        run()
    assert not FOLDER.exists()


def test_what_is_written_is_the_same_for_all_valid_values() -> None:
    written = []
    for seed in (1, 2):
        params = PARAMS | {"report": {"title": f"A report {seed}"}}
        paths.PARAMS.write_text(yaml.safe_dump(params), encoding="utf-8")
        run()
        written.append(manifest_path("fit").read_bytes())
    assert written[0] == written[1]
