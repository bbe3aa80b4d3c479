"""What a manifest holds, and that a stage runs no other code."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import ExpectedError
from workflow.manifests import (
    DIGESTS,
    Digests,
    current_manifests,
    manifest_path,
    name_of,
    stage_names,
    verified,
    write_manifests,
)

ROOT = Path(__file__).parents[2]

FILES = {
    "pipeline/stages/fit.py": "from pipeline.layers import forward\n\n\ndef run():\n    return forward(1)\n",
    "pipeline/cells/stages/load.py": "def run():\n    return 0\n",
    "pipeline/cells/stages/rows.py": "ROWS = 3\n",  # no stage: nothing to run
    "pipeline/stages/code.py": "def run():\n    pass\n",
    "pipeline/layers.py": "def forward(x):\n    return x + 1\n",
    "pipeline/other.py": "",
    "pipeline/params/own.py": "A = 1\n",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        write(name, text)
    write_manifests()
    return tmp_path


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def changed() -> set[str]:
    """The stages whose manifest is another than the one written."""
    return {
        name
        for name, manifest in current_manifests().items()
        if manifest != json.loads(manifest_path(name).read_text())
    }


def test_each_stage_but_their_maker_has_one() -> None:
    assert stage_names() == ["fit", "cells.load"]
    assert set(current_manifests()["fit"]) == {"pipeline/layers.py", "pipeline/stages/fit.py"}
    commands = {"fit": "fit", "cells.load": "cells.load", "code": None, "": None, "cells load": None}
    assert {words: name_of(f"python -m pipeline.stage {words}") for words in commands} == commands
    assert name_of("cp a b") is None


@pytest.mark.parametrize(
    "text",
    [
        "def forward(x):\n    return x + 1  # a comment\n",
        "def forward(\n    x,\n):\n\n    return (x\n        + 1)\n",
        '"""A module."""\n\n\ndef forward(x):\n    """One more."""\n    return x + 1\n',
    ],
)
def test_what_python_does_not_see_changes_nothing(text: str) -> None:
    write("pipeline/layers.py", text)
    assert changed() == set()
    assert set(verified("fit")) == {"pipeline/layers.py", "pipeline/stages/fit.py"}


def test_an_edited_function_changes_those_that_import_it() -> None:
    write("pipeline/layers.py", FILES["pipeline/layers.py"].replace("1", "2"))
    assert changed() == {"fit"}
    write("pipeline/cells/stages/load.py", "import pipeline.layers\n\n\ndef run():\n    return 0\n")
    assert changed() == {"fit", "cells.load"}


@pytest.mark.parametrize(
    "values", [("0", "False"), ("0", "0.0"), ("None", "0"), ("''", "b''"), ("[]", "None"), ("1", "-1")]
)
def test_values_that_look_alike_are_told_apart(values: tuple[str, str]) -> None:
    digests = set()
    for value in values:
        write("pipeline/other.py", f"x = {value}\n")
        digests.add(Digests().of(Path("pipeline/other.py")))
    assert len(digests) == 2


def test_the_hash_is_the_same_under_every_python() -> None:
    """A shared cache would otherwise be of no use; the syntax tree has more fields in later versions."""
    write(
        "pipeline/other.py",
        "import a.b as c\n\n\nclass D(c.E, metaclass=F):\n    x: int = 0\n\n    async def g(self, *h, i=None, **j):\n"
        "        return [f'{k!r:>{i}} k' async for k in h if (l := k)] or {**j, 1: ...}\n",
    )
    assert Digests().of(Path("pipeline/other.py")) == "be66b10614b0bfbf07c1744d0886e63b3430f6d6009da1ac0e7a921857b77c1d"


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("pipeline/layers.py", "def forward(x):\n    return x\n", "pipeline/layers.py."),
        ("pipeline/stages/fit.py", None, "pipeline/stages/fit.py (gone)."),
    ],
)
def test_a_stage_whose_code_has_changed_is_refused(name: str, text: str | None, named: str) -> None:
    Path(name).write_text(text) if text else Path(name).unlink()
    with pytest.raises(ExpectedError) as refused:
        verified("fit")
    assert str(refused.value).startswith(f"fit: code has changed since its manifest was written: {named} ")
    verified("cells.load")


def test_a_package_that_begins_to_do_something_is_refused() -> None:
    write("pipeline/stages/__init__.py", '"""Docstring."""\n\n__version__ = "1"\n')
    verified("fit")
    write("pipeline/stages/__init__.py", "import pipeline.layers\n")
    with pytest.raises(ExpectedError, match=r"fit: code has changed .*: pipeline/stages/__init__\.py \(new\)\."):
        verified("fit")
    verified("cells.load")


def test_without_a_manifest_it_is_refused() -> None:
    manifest_path("fit").unlink()
    with pytest.raises(ExpectedError, match=r"fit: its code manifest data/code/fit.json is missing.*dvc repro code"):
        verified("fit")


def test_kept_digests_are_of_the_bytes_that_are_there() -> None:
    kept = DIGESTS.read_bytes()
    DIGESTS.unlink()
    assert changed() == set()
    write_manifests()
    assert DIGESTS.read_bytes() == kept


def test_a_process_parses_a_file_once_and_again_where_it_was_edited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process outside the DAG asks for the code of every module before each of its trainings."""
    parsed, parse = [], ast.parse
    monkeypatch.setattr(ast, "parse", lambda content, *rest: parsed.append(content) or parse(content, *rest))
    texts = [f"x = {number}  # of this test alone\n" for number in (1, 2)]
    digests = []
    for text in (texts[0], texts[0], texts[1], texts[0]):
        write("pipeline/other.py", text)
        digests.append(Digests().of(Path("pipeline/other.py")))
    assert digests[0] == digests[1] == digests[3] != digests[2]
    assert parsed == [text.encode() for text in texts]


def test_a_file_that_is_no_python_is_named() -> None:
    write("pipeline/layers.py", "def forward(x):\n    return x +\n")
    with pytest.raises(ExpectedError, match=r"pipeline/layers\.py, line 2: invalid syntax"):
        write_manifests()


def test_no_code_reads_a_docstring_or_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a manifest leaves out may have no effect; argparse descriptions of benchmarks are no stage's."""
    monkeypatch.chdir(ROOT)
    files = {file for manifest in current_manifests().values() for file in manifest if file.endswith(".py")}
    assert len(files) > 200
    reads = re.compile(r"__doc__|\bgetdoc\b|\bgetsource|\bgetcomments\b|\blinecache\b")
    assert not [file for file in files if reads.search(Path(file).read_text())]


LATE = """
from pathlib import Path


def run():
    EDIT
    from pipeline.layers import forward
    print(forward(1))


run()
"""


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("pass", None),
        ("Path('pipeline/layers.py').write_text('def forward(x): return x')", "pipeline/layers.py."),
        ("import importlib; importlib.import_module('pipeline.other')", "pipeline/other.py (new)."),
        (
            "Path('pipeline/params/own.py').write_text('A = 2'); from pipeline.params.own import A",
            "pipeline/params/own.py.",
        ),
    ],
)
def test_a_module_is_checked_when_it_is_imported(edit: str, message: str | None, project: Path) -> None:
    for name in (
        "stage",
        "core/manifest_imports",
        "core/children",
        "core/parent_watchdog",
        "core/rank",
        "core/signals",
        "core/errors",
        "core/files",
        "core/machine",
        "core/checkout",
        "core/__init__",
        "__init__",
        "stages/__init__",
    ):
        text = (ROOT / f"pipeline/{name}.py").read_text()
        write(f"pipeline/{name}.py", text)
    (project / "workflow").symlink_to(ROOT / "workflow")
    write("pipeline/stages/fit.py", LATE.replace("EDIT", edit))
    write_manifests()
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    command = [sys.executable, "-m", "pipeline.stage", "fit"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if message is None:
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "2\n", "")
    else:
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"error: fit: code has changed since its manifest was written: {message} ")
        assert "Traceback" not in ended.stderr
