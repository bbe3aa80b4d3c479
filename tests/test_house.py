"""The layout of the code: a system is one folder, rooms are shared by at least two, arrows point one way."""

from functools import cache
from pathlib import Path

import pytest

from pipeline.registry import Params
from workflow.closure import Sources, module_file

ROOT = Path(__file__).parents[1]
SYSTEMS = [name for name in Params.model_fields if (ROOT / "pipeline" / name).is_dir() and name not in ("report",)]
SHARED = ("data", "metrics", "nn", "params", "plots", "training")  # rooms whose modules serve several systems
# What may be imported by what stands further right.
ARROWS = {
    "core": {"params"},
    "params": {"core"},
    "nn": {"core"},
    "data": {"core", "params"},
    "metrics": {"core", "data", "nn"},
    "training": {"core", "params", "data", "nn", "metrics"},
    "plots": {"core", "metrics"},
    "report": {"core", "params", "metrics", "plots"},
}
MOST_LINES = 300


def modules_below(folder: str) -> list[str]:
    """Dotted names of all modules of a folder of pipeline/ but its empty `__init__`s."""
    files = sorted((ROOT / "pipeline" / folder).rglob("*.py"))
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if file.name != "__init__.py"]


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of this project that a module imports itself."""
    file = module_file(module)
    assert file is not None, module
    return frozenset(name for name in Sources().imports(module, file) if module_file(name) and name != module)


def reached_from(modules: list[str]) -> set[str]:
    """All that these modules import, and what those import in turn."""
    waiting, seen = list(modules), set(modules)
    while waiting:
        new = imports(waiting.pop()) - seen
        seen |= new
        waiting += new
    return seen


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_system_imports_another(system: str) -> None:
    others = {f"pipeline.{other}" for other in SYSTEMS if other != system}
    for module in modules_below(system):
        assert not {name for name in imports(module) if ".".join(name.split(".")[:2]) in others}, module


def test_a_shared_room_holds_what_two_systems_use() -> None:
    used = {system: reached_from(modules_below(system)) for system in SYSTEMS}
    for room in SHARED:
        for module in modules_below(room):
            users = [system for system in SYSTEMS if module in used[system]]
            assert len(users) >= 2 or module in OF_ALL, f"{module}: used by {users}"


@pytest.mark.parametrize("room", ARROWS)
def test_arrows_between_rooms_point_one_way(room: str) -> None:
    for module in modules_below(room):
        rooms = {name.split(".")[1] for name in imports(module) if name.startswith("pipeline.")} - {room}
        assert rooms <= ARROWS[room], f"{module} imports from {sorted(rooms - ARROWS[room])}"


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_systems_readme_names_every_file(system: str) -> None:
    text = (ROOT / "pipeline" / system / "README.md").read_text(encoding="utf-8")
    absent = [module for module in modules_below(system) if f"`{module.rpartition('.')[2]}`" not in text]
    assert not absent


def test_a_file_fits_in_one_sitting() -> None:
    files = [file for folder in ("pipeline", "workflow") for file in (ROOT / folder).rglob("*.py")]
    lines = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert not {file: count for file, count in lines.items() if count > MOST_LINES}


# Of the project as a whole: the file of parameters, the report's own pages, the picture of the DAG.
OF_ALL = {
    "pipeline.params.registry",
    "pipeline.params.report",
    "pipeline.params.track",
}
