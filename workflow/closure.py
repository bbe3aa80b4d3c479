"""The code a stage depends on: all modules of this project that it imports, found by parsing the source.

Too few modules would leave stale results; too many would cause needless runs.
"""

import ast
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

CODE_FOLDERS = ("pipeline", "workflow")
LAUNCHER = "pipeline.stage"


def is_code(path: str) -> bool:
    """Whether a dep is code of this project rather than data."""
    return path.split("/")[0] in CODE_FOLDERS or path.endswith(".py")


def stage_module(name: str) -> str:
    """The module of a stage: of a system's, `mole.ingest`, `pipeline.mole.stages.ingest`; else
    `pipeline.stages.NAME`."""
    system, _, stage = name.rpartition(".")
    return ".".join(["pipeline", *([system] if system else []), "stages", stage])


def stage_name(command: str) -> str | None:
    """The stage that a command launches: `mole.ingest` of `python -m pipeline.stage mole.ingest`; None for any
    other."""
    words = shlex.split(command)
    return words[3] if words[:3] == ["python", "-m", LAUNCHER] and len(words) == 4 else None


class Sources:
    """A cache of parsed modules, so that each is parsed once for the closures of all stages."""

    def __init__(self) -> None:
        self._trees: dict[Path, ast.Module] = {}
        self._imports: dict[str, list[str]] = {}

    def tree(self, file: Path) -> ast.Module:
        if file not in self._trees:
            self._trees[file] = ast.parse(file.read_bytes(), str(file))
        return self._trees[file]

    def imports(self, module: str, file: Path) -> list[str]:
        """The modules that a module imports, and its parent packages that execute code."""
        if module not in self._imports:
            named = _imports(self.tree(file), module, is_package=file.name == "__init__.py")
            self._imports[module] = [*named, *filter(self._does_something, _parents(module))]
        return self._imports[module]

    def _does_something(self, package: str) -> bool:
        file = module_file(package)
        return file is not None and does_something(self.tree(file))


def does_something(package: ast.Module) -> bool:
    """Whether importing a package does more than set its docstring and constants such as `__version__`."""
    for node in package.body:
        match node:
            case ast.Expr(value=ast.Constant()):
                continue
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant()) if name.startswith("__"):
                continue
        return True
    return False


def module_closure(module: str, sources: Sources | None = None) -> set[str]:
    """Files that a module can run or read as code, relative to the root: itself and all that it imports.

    Imports anywhere in a module are followed, except under `if TYPE_CHECKING`. A file that is neither Python nor prose
    (a template, a style sheet) is included if a module of its package is. The `__init__.py` of a parent package is
    included only if it executes code.
    """
    sources = sources or Sources()
    waiting = [module]
    seen: set[str] = set()
    files: set[Path] = set()
    while waiting:
        module = waiting.pop()
        file = module_file(module)
        if module in seen or file is None:
            continue
        seen.add(module)
        files |= {file, *_package_data(file.parent)}
        waiting += sources.imports(module, file)
    return {file.as_posix() for file in files}


def module_file(module: str) -> Path | None:
    """The file of a module of this project, relative to the root; None for any other."""
    if module.split(".")[0] not in CODE_FOLDERS:
        return None
    path = Path(*module.split("."))
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Modules named by the imports anywhere under a node."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                base = _base(node, module, is_package)
                submodules = [f"{base}.{alias.name}" for alias in node.names]
                found = [submodule for submodule in submodules if module_file(submodule)]
                yield from found
                if len(found) < len(submodules):  # a name that the module itself defines
                    yield base
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                for other in node.orelse:
                    yield from _imports(other, module, is_package)
            case _:
                yield from _imports(node, module, is_package)


def _base(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """The module that `from ... import` names, relative imports resolved."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    package = parts[: len(parts) - node.level + is_package]
    return ".".join([*package, *([node.module] if node.module else [])])


def _parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def _package_data(folder: Path) -> Iterable[Path]:
    return (
        path for path in folder.iterdir() if path.is_file() and _is_source(path) and path.suffix not in (".py", ".md")
    )


def _is_source(path: Path) -> bool:
    """Not a cache, a hidden file, or what an editor leaves behind."""
    return not path.name.startswith(".") and not path.name.endswith("~") and "__pycache__" not in path.parts
