"""What a stage's code is: all that its module imports in this project, and nothing else."""

import importlib
import textwrap
from pathlib import Path

import pytest

from pipeline.plan import SYSTEMS, read_plan
from workflow.closure import is_code, module_closure, stage_module, stage_name
from workflow.dag import Stage, read_stages, without_gates
from workflow.declared import declared_outs
from workflow.manifests import FOLDER, MAKER, manifest_path, name_of, stage_names

ROOT = Path(__file__).parents[2]
SHARED = ("code", "report", "track")  # stages of no system


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


def closure(module: str = "pipeline.fit") -> set[str]:
    return {path.removeprefix("pipeline/") for path in module_closure(module)}


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


def test_a_stage_is_a_module_of_its_system_or_of_all() -> None:
    assert stage_module("mole.ingest") == "pipeline.mole.stages.ingest"
    assert stage_module("report") == "pipeline.stages.report"
    assert stage_name("python -m pipeline.stage mole.ingest") == "mole.ingest"
    assert stage_name("python -m pipeline.stage") is None
    assert stage_name("cp a b") is None


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
            assert (stage.address, stage.deps) == (MAKER, ("params.yaml", "plan.yaml", "pipeline", "workflow"))
    of_several_files = {"list_files", "cfm_vc.ingest_file", "alphastomics.ingest_file"}
    assert named == set(stage_names()) - of_several_files  # of which the default studies have none


def modules_of(stage: Stage) -> set[str]:
    """Files of the project that the stage of a command depends on."""
    name = name_of(stage.command)
    return module_closure(stage_module(name)) if name else set()


def sections_of(stage: Stage) -> tuple[str, ...]:
    """The sections that the stage's module asks for: none where it has no parameters."""
    module = importlib.import_module(stage_module(stage_name(stage.command) or ""))
    if stage.address.startswith("chapter@"):
        return (f"{module.__name__.split('.')[1]}.chapter",)
    if hasattr(module, "SECTION"):
        return (module.SECTION,)
    return tuple(getattr(module, "SECTIONS", ()))


def test_a_stage_depends_on_no_other_section_than_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for stage in without_gates(read_stages()):
        sections = {section.rpartition(".")[2] for section in sections_of(stage)}
        files = [Path(path) for path in modules_of(stage)]
        own = {path.stem for path in files if len(path.parts) == 4 and path.parts[2] == "params"} - {"__init__"}
        sections -= {"runs", "chapter"}  # of all systems
        shared = {path.stem for path in files if path.parts[:2] == ("pipeline", "params")}
        assert own == {section.removesuffix("_ood") for section in sections} - {"report", "track"}, stage.address
        assert not shared & ({"report", "track", "registry"} - sections), stage.address


def test_a_stage_depends_on_no_other_systems_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an edit of one runs stages of that one only."""
    monkeypatch.chdir(ROOT)
    for stage in without_gates(read_stages()):
        system = (name_of(stage.command) or "").rpartition(".")[0]
        others = {name for name in SYSTEMS if name != system}
        if stage.address != "track":  # it registers the models of all
            assert not {Path(path).parts[1] for path in modules_of(stage)} & others, stage.address


def test_joining_chapters_needs_no_code_of_a_system_and_none_that_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (report,) = (stage for stage in read_stages() if stage.address == "report")
    whole = {path for path in modules_of(report) if path.startswith("pipeline/report/page_template/")}
    assert {Path(path).name for path in whole} >= {"style.css", "page.html.j2"}
    assert not {path for path in modules_of(report) if Path(path).parts[1] in SYSTEMS}


def test_a_stage_reads_the_sections_that_dvc_yaml_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sections = {}
    for stage in read_stages():
        if stage.command:
            sections[stage.address] = set(sections_of(stage))
    sections["report"] = {"params.yaml"}  # it shows all parameters
    plan = read_plan()
    points = {instance for system in SYSTEMS for instance in plan[system].get("points", {})}
    for address, of in sections.items():
        name, _, instance = address.partition("@")
        if instance in points:  # a point reads what all points share, and itself
            sections[address] = {"sweep.recipe", f"sweep.points.{instance.split('-')[1]}"}
        elif name == "preprocess":
            sections[address] = {f"preprocess.{instance.split('-')[2]}"}
        elif instance:  # a study's settings lie in a file of its own
            sections[address] = {section.partition(".")[2] for section in of}
        if name == "ridge":  # what the sweep trains beside it may change
            sections[address] = {"ridge", "sweep.recipe"}
        if name == "evaluate":  # declared alike for all systems
            sections[address] |= {"evaluate"}
    assert {stage.address: set(stage.params_listed) for stage in read_stages() if stage.command} == sections


def test_no_command_holds_a_value_that_was_interpolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for stage in read_stages():
        if stage.command:
            name, _, key = stage.address.partition("@")
            systems = [key.partition("-")[0]] if key.partition("-")[0] in SYSTEMS else SYSTEMS
            known = {name} if name in SHARED else {f"{system}.{name}" for system in systems}
            assert stage.command.removeprefix("python -m pipeline.stage ") in known


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
