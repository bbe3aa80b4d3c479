"""What a stage's code is: all that its module imports in this project, and nothing else."""

import textwrap
from pathlib import Path

import pytest

from workflow.closure import is_code, read_constant, stage_closure, stage_modules
from workflow.dag import read_stages, without_gates
from workflow.declared import declared_outs
from workflow.manifests import FOLDER, MAKER, manifest_path, name_of, stage_names

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(**files: str) -> None:
    """Files of a package `pipeline`, by name without suffix; `__` in a name stands for a folder."""
    for name, text in {"__init__": '"""Docstring."""', **files}.items():
        path = Path("pipeline") / (name if name.startswith("__") else name.replace("__", "/", 1))
        path = path.with_name(f"{path.name}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def closure(command: str = "python -m pipeline.fit") -> set[str]:
    return {path.removeprefix("pipeline/") for path in stage_closure(command)}


@pytest.mark.parametrize(
    "statement",
    [
        "import pipeline.a",
        "import pipeline.a as b, os",
        "from pipeline import a",
        "from pipeline.a import something",
        "from . import a",
        "from .a import something",
        "def late():\n    from pipeline import a",
        "class C:\n    def late(self):\n        import pipeline.a",
        "try:\n    from pipeline import a\nexcept ImportError:\n    pass",
        "if True:\n    from pipeline import a",
    ],
)
def test_imports_are_followed_at_any_depth(statement: str) -> None:
    write(fit=statement, a="from pipeline.b import f", b="", unused="")
    assert closure() == {"fit.py", "a.py", "b.py"}


def test_imports_for_types_only_are_not() -> None:
    write(fit="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pipeline import a", a="")
    assert closure() == {"fit.py"}


def test_a_circle_of_imports_ends() -> None:
    write(fit="import pipeline.a", a="import pipeline.fit")
    assert closure() == {"fit.py", "a.py"}


def test_a_package_counts_where_it_does_something_or_is_asked_for() -> None:
    write(fit="from pipeline import data, __version__\nimport pipeline.nn.layers")
    write(__init__="__version__ = '1'", data____init__="'''Docstring.'''", nn____init__="import os")
    write(nn__layers="")
    Path("pipeline/__init__.py").write_text("__version__ = '1'")
    assert closure() == {"fit.py", "__init__.py", "data/__init__.py", "nn/__init__.py", "nn/layers.py"}


def test_a_keyed_stage_is_its_entry_and_its_key() -> None:
    write(load____init__="", load____main__="import pipeline.core.entry", load__cells="", load__images="", entry="")
    command = "python -m pipeline.load cells"
    assert stage_modules(command) == ["pipeline.load.__main__", "pipeline.load.cells"]
    assert closure(command) == {"load/__main__.py", "load/cells.py", "entry.py"}


def test_a_launched_stage_is_its_own_code_without_the_launcher() -> None:
    write(stage="import pipeline.a", a="", stages__fit="import pipeline.b", b="")
    assert stage_modules("python -m pipeline.stage fit") == ["pipeline.stages.fit"]
    assert closure("python -m pipeline.stage fit") == {"stages/fit.py", "b.py"}


def test_a_template_counts_with_the_modules_beside_it() -> None:
    write(fit="from pipeline.page import render", page__render="", page____init__="")
    Path("pipeline/page/template.html").touch()
    Path("pipeline/page/.template.html.swp").touch()
    assert closure() == {"fit.py", "page/render.py", "page/template.html"}


def test_a_stage_has_its_own_manifest_among_its_deps_and_no_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    named = set()
    for stage in read_stages():
        name = name_of(stage.command) if stage.command else None
        code = [dep for dep in stage.deps if is_code(dep) or Path(dep).parent == FOLDER]
        if name:
            named.add(name)
            assert code == [str(manifest_path(name))], stage.address
        elif stage.command:
            assert (stage.address, stage.deps) == (MAKER, ("params.yaml", "pipeline", "workflow"))
    assert named == set(stage_names())


def test_a_stage_depends_on_no_other_section_than_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shared = {"__init__", "section", "reading", "optimisation", "obs_column", "pictures", "stored_cells", "sweep"} | {
        "allowed",
        "label",
    }
    for stage in without_gates(read_stages()):
        section = (read_constant(stage_modules(stage.command)[-1], "SECTION") or "").replace(".", "_")
        modules = {Path(path).stem for path in stage_closure(stage.command) if path.startswith("pipeline/params/")}
        assert modules - shared == ({section} if section else set()), stage.address


NAMED_AFTER = {
    "perturbation": "chapter@cfm_vc",
    "moe": "chapter@bayes_moe",
    "spatial": "chapter@alphastomics",
    "forecasting": "chapter@mole",
    "ttnn": "chapter@mole",
}


def test_a_chapter_depends_on_no_other_systems_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an edit of one draws that one only; what a module of the report is named after is its system."""
    monkeypatch.chdir(ROOT)
    code = {stage.address: stage_closure(stage.command) for stage in read_stages() if stage.command}
    for system, chapter in NAMED_AFTER.items():
        modules = {
            path for path in code[chapter] if Path(path).parts[1] == "report" and Path(path).stem.startswith(system)
        }
        assert modules
        assert {address for address, files in code.items() if files & modules} == {chapter}, system


def test_a_chapter_has_no_code_of_the_whole_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    stages = {stage.address: stage for stage in read_stages()}
    whole = {path for path in stage_closure(stages["report"].command) if path.startswith("pipeline/report/whole/")}
    assert {Path(path).name for path in whole} >= {"style.css", "page.html.j2"}
    chapters = [stage for address, stage in stages.items() if address.startswith("chapter_")]
    assert chapters
    assert not any(stage_closure(stage.command) & whole for stage in chapters)


SWEEPS = {"moe_sweep": "moe", "mole_train": "mole"}  # and their sections of params.yaml


def test_a_stage_reads_the_section_that_dvc_yaml_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sections = {}
    for stage in read_stages():
        if stage.command:
            section = read_constant(stage_modules(stage.command)[-1], "SECTION")
            sections[stage.address] = (section,) if section else ()  # a stage without parameters has none
    sections["report"] = ("params.yaml",)  # it shows all parameters
    for address in sections:  # a point reads what all points share, and itself
        for sweep, section in SWEEPS.items():
            if address.startswith(f"{sweep}@"):
                sections[address] = (f"{section}.recipe", address.replace(f"{sweep}@", f"{section}.points."))
    assert {stage.address: stage.params_listed for stage in read_stages() if stage.command} == sections


def test_no_command_holds_a_value_that_was_interpolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for stage in read_stages():
        if stage.command:
            name, _, key = stage.address.partition("@")
            if name in SWEEPS:  # its keys are names that params.yaml gives
                key = ""
            assert stage.command == f"python -m pipeline.stage {name} {key}".strip()


def test_every_stage_waits_until_the_parameters_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    waits = {"code"}
    for stage in read_stages():
        if stage.command and stage.address not in waits:
            assert waits & set(stage.upstream), stage.address
            waits.add(stage.address)


def test_outs_are_read_without_dvc_as_dvc_resolves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for stage in read_stages():
        if stage.command:
            assert sorted(declared_outs(stage.address)) == sorted(stage.outs)
